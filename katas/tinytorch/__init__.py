"""TinyTorch: `tinytorch.tensor` is the file of kata 02, `tinytorch.autograd` that of
kata 05, and so on.

grader.loading chooses the file as for every kata: the learner's own where its core
works, else the reference.
"""

from pathlib import Path

from grader.loading import serve

MODULES = {
    "setup": "01_setup",
    "tensor": "02_tensor",
    "activations": "03_activations",
    "layers": "04_layers",
    "autograd": "05_autograd",
    "losses": "06_losses",
    "optimizers": "07_optimizers",
    "training": "08_training",
    "spatial": "09_spatial",
    "dataloader": "10_dataloader",
    "advanced_optimizers": "11_advanced_optimizers",
    "production": "12_production",
    "attention": "13_attention",
    "transformers": "14_transformers",
    "generation": "15_generation",
}
serve("tinytorch", Path(__file__).parent, MODULES)
