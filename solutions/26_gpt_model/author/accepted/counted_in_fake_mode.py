# Counted on a model of fake tensors: they say that they are on the CPU, and hold
# nothing. An MLP that is a Sequential.

from collections import OrderedDict


class MLP(nn.Sequential):
    def __init__(self, config):
        c = config.n_embd
        super().__init__(
            OrderedDict(
                c_fc=nn.Linear(c, 4 * c, bias=config.bias),
                gelu=nn.GELU(approximate="tanh"),
                c_proj=nn.Linear(4 * c, c, bias=config.bias),
                dropout=nn.Dropout(config.dropout),
            )
        )


def parameter_count(config):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return GPT(config).num_params()
