"""Packaging of Concurrent DataLoader; the tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

AIOBOTOCORE = ["aiobotocore>=2.13"]
BENCH = ["scikit-learn>=1.4"]
# The set that was tested together; left free, pip backtracks for minutes over boto3, aiobotocore and moto.
DEV = [
    "boto3==1.43.117",
    "botocore==1.43.117",
    "aiobotocore==3.10.0",
    "moto[server,s3]==5.2.5",
    "obstore==0.12.1",
    "Pillow==13.0.0",
    "scikit-learn==1.9.1",
    "pytest==9.2.0",
    "pytest-timeout==2.4.0",
    "hypothesis==6.170.15",
    "ruff==0.17.6",
    "mypy==2.4.1",
]

setup(
    name="concurrent-dataloader",
    version="0.1.0",
    description="A drop-in replacement of torch's DataLoader that overlaps the waiting for object storage",
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    packages=find_packages(include=["concurrent_dataloader*", "benchmarking*"]),
    package_data={"concurrent_dataloader": ["py.typed"]},
    python_requires=">=3.11",
    install_requires=[
        "torch>=2.13",
        "torchvision>=0.28",
        "Pillow>=10.0",
        "numpy>=1.26",
        "boto3>=1.34",
        "obstore>=0.8",
        "tqdm>=4.66",
    ],
    extras_require={"aiobotocore": AIOBOTOCORE, "bench": BENCH, "dev": DEV},
)
