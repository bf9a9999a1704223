"""The exchangeable pieces of bucketed attention: who sits together, how they score, what they pass on, how it joins."""
