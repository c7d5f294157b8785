"""Packaging of Concurrent DataLoader; the tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def tested_set() -> list[str]:
    """Returns the pinned requirements of the developers."""
    lines = (HERE / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


setup(
    name="concurrent-dataloader",
    version="0.1.0",
    description="A drop-in replacement of torch's DataLoader that overlaps the waiting for object storage",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="BSD-3-Clause",
    packages=find_packages(include=["concurrent_dataloader*", "benchmarking*"]),
    package_data={"concurrent_dataloader": ["py.typed"]},
    entry_points={"console_scripts": ["concurrent-dataloader = concurrent_dataloader.command_line.main:main"]},
    python_requires=">=3.11",
    classifiers=[  # what is tested; later versions of Python are not refused
        "License :: OSI Approved :: BSD License",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
    ],
    install_requires=[
        "torch>=2.13",
        "torchvision>=0.28",
        "Pillow>=10.0",
        "numpy>=1.26",
        "boto3>=1.34",
        "urllib3>=2.0",  # bodies are read piece by piece with read1
        "obstore>=0.8",
        "tqdm>=4.66",
    ],
    extras_require={
        "aiobotocore": ["aiobotocore>=2.13"],  # an extra: it pins botocore, and would fight a user's boto3
        "uvloop": ['uvloop>=0.21; sys_platform != "win32"'],  # less CPU under fetch_impl="asyncio": docs/asyncio.md
        "parquet": ["pyarrow>=17.0"],  # an extra: 170 MB on disk, for S3 Inventories in Parquet alone
        "bench": [
            "scikit-learn>=1.4",
            "litdata>=0.2.76",
            "spdl>=0.8.0",
            "torchdata>=0.11.0",
            "s3torchconnector>=1.5.0",
        ],
        "dev": tested_set(),
    },
)
