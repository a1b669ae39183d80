# Different: costs are read off a layer that is built, or off outputs that are computed
# again from the start; the memory is measured by profile_memory, size by size; the
# network is put together by hand.
from tinytorch.setup import profile_memory, scaling_exponent


def linear_cost(in_features, out_features, batch, *, bias=True, itemsize=4):
    sizes = [p.size for p in Linear(in_features, out_features, bias).parameters()]
    return {
        "output_bytes": itemsize * batch * out_features,
        "multiply_adds": sizes[0] * batch,
        "parameter_bytes": sum(sizes) * itemsize,
        "parameters": sum(sizes),
    }


def layer_report(model, x):
    def row(index):
        layer, output = model[index], Sequential(model.layers[: index + 1])(x)
        learned = list(layer.parameters()) if hasattr(layer, "parameters") else []
        return {
            "index": index,
            "name": layer.__class__.__name__,
            "output_shape": tuple(output.shape),
            "parameters": sum([p.data.size for p in learned]),
            "parameter_bytes": sum([p.data.nbytes for p in learned]),
            "output_bytes": output.data.nbytes,
        }

    return list(map(row, range(len(model))))


def layer_scaling(widths):
    widths = list(widths)
    kept = [profile_memory(Linear, n, n).retained_bytes for n in widths]
    memory = {
        "sizes": widths,
        "values": kept,
        "exponent": scaling_exponent(widths, kept),
    }
    return {
        "memory": memory,
        "flops": {"sizes": widths, "values": [n * n * n for n in widths]},
    }


def run_xor_inference(rng=None):
    net = Sequential([])
    net.layers += [Linear(2, 4, rng=rng), ReLU()]
    net.layers.append(Linear(4, 1, rng=rng))
    return net, net(Tensor(XOR_X.copy()))
