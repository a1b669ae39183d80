"""GPT-2 from its parts: embeddings, pre-norm blocks, a last layer norm, and the token embedding again as output layer.

Sizes: B rows of T tokens, C = n_embd features, V = vocab_size, L = n_layer blocks. Token ids are torch.long.
Names are GPT-2's own, so that its weights load.
"""

from torch import Tensor, nn

from grader.loading import prerequisite

GPTConfig = prerequisite("25_causal_self_attention").GPTConfig
CausalSelfAttention = prerequisite("25_causal_self_attention").CausalSelfAttention
LayerCache = prerequisite("25_causal_self_attention").LayerCache


def gelu_tanh(x: Tensor) -> Tensor:
    """Bend every value with GPT-2's form of GELU: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    Args:
        x: floats of any shape, contiguous or not.
    Returns:
        The same shape, dtype and device. Large positive values stay themselves, large negative ones become 0;
        gelu_tanh(1) is 0.841192, where the exact form x·Φ(x) gives 0.841345.

    Gradients flow back to x, and x is not written to. Write the formula yourself: F.gelu and nn.GELU may not be called
    here (in `MLP` they may).
    """
    raise NotImplementedError


class MLP(nn.Module):
    """The part of a block that works on each position alone: widen four times, bend, narrow, drop.

    Args:
        config: uses n_embd (C), dropout and bias.
    Shapes:
        x (..., C) → (..., C), any leading dims: dropout(c_proj(gelu(c_fc(x)))), with GELU in the tanh form.
    Attributes:
        c_fc: nn.Linear(C, 4C).
        c_proj: nn.Linear(4C, C).
        dropout: nn.Dropout(config.dropout), the only dropout here.

    With config.bias = False neither linear layer has a bias. c_fc and c_proj hold all the parameters there are, and
    there are no buffers. In eval mode nothing is dropped. x is not written to.
    """

    def __init__(self, config: GPTConfig):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Block(nn.Module):
    """One layer of GPT-2: attention and MLP, each behind a layer norm, each added to what came in.

    Args:
        config: for all four parts.
        flash: handed to the attention.
    Shapes:
        x (B, T, C) → (B, T, C): x = x + attn(ln_1(x)), then x = x + mlp(ln_2(x)). The norms stay off the residual path.
    Attributes:
        ln_1, ln_2: nn.LayerNorm(C, bias=config.bias), with the default eps.
        attn: CausalSelfAttention.
        mlp: MLP.

    These four hold all the parameters there are. `cache` is for the attention: with one, x holds the positions that
    follow the cached ones; without, the call knows nothing of earlier calls. x is not written to.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        raise NotImplementedError

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        raise NotImplementedError


class GPT(nn.Module):
    """GPT-2: token ids in, a score for every possible next token out, at every position.

    Args:
        config: the sizes.
        flash: handed to every block.
    Attributes:
        config: the config that was given.
        transformer: nn.ModuleDict with
            wte: nn.Embedding(V, C), the token embedding,
            wpe: nn.Embedding(block_size, C), the position embedding,
            drop: nn.Dropout(config.dropout), on the sum of the two,
            h: nn.ModuleList of L Blocks,
            ln_f: nn.LayerNorm(C, bias=config.bias), after the last block.
        lm_head: nn.Linear(C, V, bias=False). `lm_head.weight is transformer.wte.weight`: one Parameter under two names,
            both in the state dict, once in parameters(). It stays one when a state dict is loaded, and it learns
            through both uses.

    There are no buffers. Building under `with torch.device("meta")` works, and so does running such a model: what
    forward makes for itself, positions for instance, goes to the device of idx.

    The start values are GPT-2's, drawn with torch's global generator: weights of Linear and Embedding from a normal
    distribution with mean 0 and standard deviation 0.02, but those named `c_proj`, the two of each block that write to
    the residual path, with 0.02 / √(2L); biases 0; layer norms multiply by 1.

    forward(idx, targets, cache):
        idx: (B, T) token ids.
        targets: (B, T) the token that should follow each position. They come shifted already: position t of idx is
            judged by position t of targets. −100 = this position does not count.
        cache: one LayerCache a block, or None. With one, idx holds the tokens that follow the cached ones, and their
            positions go on where those end. Chunks of any length come out as in a single full pass.
    Returns:
        (logits, loss): logits (B, T, V), for every position, with or without targets, in the dtype of the weights;
        loss the cross entropy, a scalar, the mean over all positions that count, or None without targets.

    idx and targets may be non-contiguous and are not written to. In eval mode nothing is random.

    Raises:
        ValueError: the cached positions and T are more than block_size together (the message has the word
            "block_size" in it). Exactly block_size are allowed. The cache is as before after the error.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        raise NotImplementedError

    def forward(
        self, idx: Tensor, targets: Tensor | None = None, cache: list[LayerCache] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; the weight that wte and lm_head share counts once.

        Args:
            non_embedding: leave out wpe. (wte stays: it is the output layer too.)
        """
        raise NotImplementedError


def new_cache(model: GPT) -> list[LayerCache]:
    """Give every block of a model an empty cache of its own.

    Args:
        model: a GPT of any depth.
    Returns:
        A new list of L empty LayerCaches, in the order of the blocks, as GPT.forward takes it.
    """
    raise NotImplementedError


def gpt2_config(name: str = "gpt2") -> GPTConfig:
    """Look up the sizes of one of the four published GPT-2 models.

    Args:
        name: one of

            ===========  =======  ======  ======
            name         n_layer  n_head  n_embd
            ===========  =======  ======  ======
            gpt2              12      12     768
            gpt2-medium       24      16    1024
            gpt2-large        36      20    1280
            gpt2-xl           48      25    1600
            ===========  =======  ======  ======
    Returns:
        A new GPTConfig with these, vocab_size 50257, block_size 1024, dropout 0.0 and bias True.
    Raises:
        ValueError: another name; the message names it.
    """
    raise NotImplementedError


def parameter_count(config: GPTConfig) -> int:
    """Count the parameters of a GPT without the memory for them.

    Args:
        config: any sizes, with or without bias; GPT-3's, for instance, which would need 650 GiB.
    Returns:
        What `GPT(config).num_params()` would be, as an int.

    No weight may be allocated on the way. A formula does it; so does a model on the "meta" device, whose tensors have
    shapes and no data.
    """
    raise NotImplementedError
