"""A small ImageNet-like data set that needs no download: scikit-learn's handwritten digits, drawn as photographs.

Names, index, classes and credentials files have ImageNet's and this library's documented forms.
"""

from benchmarking.imagenet_like.data_set import ImagenetLikePaths, make_imagenet_like, write_credentials

__all__ = ["make_imagenet_like", "write_credentials", "ImagenetLikePaths"]
