# Cross entropy with the classes in dimension 1, initialisation by one pass over the
# modules, GELU by the sigmoid.


def gelu_tanh(x):
    # (1 + tanh(u)) / 2 is the sigmoid of 2u
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


class GPT(GPT):
    def _init_weights(self):
        for name, module in self.named_modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                depth = 2 * self.config.n_layer if name.endswith(".c_proj") else 1
                with torch.no_grad():
                    module.weight.normal_().mul_(0.02 * depth**-0.5)
            if getattr(module, "bias", None) is not None:
                module.bias.data.zero_()

    def forward(self, idx, targets=None, cache=None):
        first = len(cache[0]) if cache is not None else 0
        last = first + idx.shape[-1]
        if not last <= self.config.block_size:
            raise IndexError(f"position {last - 1} of {self.config.block_size}")
        transformer = self.transformer
        places = torch.arange(self.config.block_size, device=idx.device)[
            first:last
        ].expand_as(idx)
        x = transformer.drop(transformer.wte(idx) + transformer.wpe(places))
        for i in range(len(transformer.h)):
            x = transformer.h[i](x) if cache is None else transformer.h[i](x, cache[i])
        logits = self.lm_head(transformer.ln_f(x))
        return logits, (
            None
            if targets is None
            else F.cross_entropy(logits.transpose(1, 2), targets)
        )


def parameter_count(config):
    c, vocabulary, positions = config.n_embd, config.vocab_size, config.block_size
    matrices = (vocabulary + positions) * c + 12 * config.n_layer * c**2
    norms = (2 * config.n_layer + 1) * c
    biases = (9 * config.n_layer * c + norms) if config.bias else 0
    return matrices + norms + biases
