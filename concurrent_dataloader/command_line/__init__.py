"""The command ``concurrent-dataloader``: makes and checks what a training run needs, and looks after the cache."""
