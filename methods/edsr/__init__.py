"""EDSR (Lim et al., CVPRW 2017): the trunk without attention."""

from methods.published import Method
from methods.trunks import ResidualTrunk

METHOD = Method(name="edsr", title="EDSR", trunk=ResidualTrunk(), execution=frozenset())
