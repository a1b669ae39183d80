"""Buffers before parameters, and the bias before the weight; initial values as shifted
`rand`, the last layer first.
"""


class StandardizedLinear(StandardizedLinear):
    def __init__(self, in_features, out_features, bias=True, eps=1e-5, generator=None):
        nn.Module.__init__(self)
        self.eps, self.out_features, self.in_features = eps, out_features, in_features
        for name, start in (
            ("count", torch.tensor(0)),
            ("var", torch.ones(in_features)),
            ("mean", torch.zeros(in_features)),
        ):
            self.register_buffer(name, start)
        draw = lambda *size: nn.Parameter(
            (2 * torch.rand(*size, generator=generator) - 1) * in_features**-0.5
        )
        self.register_parameter("bias", draw(out_features) if bias else None)
        self.register_parameter("weight", draw(out_features, in_features))


def init_weights(model, *, embedding_std=0.02, generator=None):
    with torch.no_grad():
        for module in [*model.modules()][::-1]:
            if isinstance(module, nn.Linear):
                reach = math.sqrt(6 / sum(module.weight.shape))
                module.weight.copy_(
                    (2 * torch.rand(module.weight.shape, generator=generator) - 1)
                    * reach
                )
                if module.bias is not None:
                    module.bias.mul_(0)
            elif isinstance(module, nn.Embedding):
                module.weight.normal_(generator=generator).mul_(embedding_std)
                if module.padding_idx is not None:
                    module.weight[module.padding_idx].zero_()
            elif isinstance(module, nn.LayerNorm):
                for parameter, start in ((module.bias, 0.0), (module.weight, 1.0)):
                    if parameter is not None:
                        parameter.fill_(start)
    return model
