# The count by a model on the meta device, sizes by a chain of ifs, caches by the config.


def new_cache(model):
    caches = []
    while len(caches) < model.config.n_layer:
        caches.append(LayerCache())
    return caches


def gpt2_config(name="gpt2"):
    config = GPTConfig()
    if name == "gpt2":
        return config
    if name == "gpt2-medium":
        config.n_layer, config.n_head, config.n_embd = 24, 16, 1024
    elif name == "gpt2-large":
        config.n_layer, config.n_head, config.n_embd = 36, 20, 1280
    elif name == "gpt2-xl":
        config.n_layer, config.n_head, config.n_embd = 48, 25, 1600
    else:
        raise ValueError("unknown name " + name)
    return config


def parameter_count(config):
    with torch.device("meta"):
        model = GPT(config)
    return model.num_params()
