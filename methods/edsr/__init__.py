"""EDSR (Lim et al., CVPRW 2017): the trunk without attention."""

from methods.interface import Method
from methods.trunks import ResidualTrunk

METHOD = Method(
    name="edsr",
    title="EDSR",
    paper="Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPRW 2017",
    code="sanghyun-son/EDSR-PyTorch",
    trunk=ResidualTrunk(),
)
