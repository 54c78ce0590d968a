"""The only randomness of the library: integer noise, exact to the last bit, from the operating system's generator."""

from dpstruct.noise.entropy import entropy_source
from dpstruct.noise.sampler import draw

__all__ = ["draw", "entropy_source"]
