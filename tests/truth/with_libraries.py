"""References beside transformers, peft and trl, on small random models: nothing
is downloaded.
"""

import itertools
from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from tests.truth.comparing import Row, Thunk, compared, differentiated, kata

SIZES = {
    "vocab_size": 53,
    "hidden_size": 48,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
}
SIZES |= {
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3,
}


def _stirred(model: nn.Module) -> nn.Module:
    """Every parameter is random: norms that multiply by 1 hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2)
    return model.eval()


def _logits(model: nn.Module, length: int) -> torch.Tensor:
    ids = torch.randint(53, (2, length), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        out = model(ids)
    return (out[0] if isinstance(out, tuple) else getattr(out, "logits", out)).float()


def _gpt2() -> Iterator[tuple[nn.Module, nn.Module]]:
    """Our model with their weights, and theirs."""
    import transformers

    small = {
        "vocab_size": 53,
        "n_positions": 64,
        "n_embd": 24,
        "n_layer": 3,
        "n_head": 4,
    }
    theirs = _stirred(
        transformers.GPT2LMHeadModel(
            transformers.GPT2Config(**small, attn_implementation="eager")
        )
    )
    ours = kata("28").GPT(kata("28").config_from_hf(theirs.config.to_dict())).eval()
    yield kata("28").load_hf_weights(ours, theirs.state_dict()), theirs


def _llamas(name: str, *choices: dict) -> Iterator[tuple[nn.Module, nn.Module]]:
    import transformers

    for options in choices:
        config = getattr(transformers, f"{name}Config")(
            **SIZES | options, attn_implementation="eager"
        )
        theirs = _stirred(getattr(transformers, f"{name}ForCausalLM")(config))
        yield (
            kata("today/01").load_llama(theirs.config.to_dict(), theirs.state_dict()),
            theirs,
        )


def _logits_of(
    models: Iterator[tuple[nn.Module, nn.Module]],
) -> Iterator[tuple[Thunk, Thunk]]:
    for (ours, theirs), length in itertools.product(models, (1, 9, 64)):
        yield partial(_logits, ours, length), partial(_logits, theirs, length)


def _lora() -> Iterator[tuple[Thunk, Thunk]]:
    """peft's adapter and ours, with the same matrices: forward, and merged."""
    import peft

    for rank, alpha in ((2, 8), (4, 4), (3, 1)):
        torch.manual_seed(rank)
        base, x = nn.Linear(7, 5), torch.randn(4, 7)
        ours = kata("today/04").LoRALinear(base, rank, alpha)
        holder = nn.Sequential(nn.Linear(7, 5))
        holder[0].load_state_dict(base.state_dict())
        theirs = peft.get_peft_model(
            holder, peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["0"])
        )
        layer = theirs.base_model.model[0]
        with torch.no_grad():
            ours.lora_A.normal_(), ours.lora_B.normal_()
            layer.lora_A["default"].weight.copy_(ours.lora_A)
            layer.lora_B["default"].weight.copy_(ours.lora_B)
        yield partial(ours, x), partial(theirs, x)
        yield (
            lambda ours=ours: ours.merge().weight,
            lambda theirs=theirs: theirs.merge_and_unload()[0].weight,
        )


def _log_probabilities() -> Iterator[tuple[Thunk, Thunk]]:
    """trl's log-probability of each token, which gets the shift from outside."""
    from trl.trainer.utils import selective_log_softmax

    for seed in range(5):
        torch.manual_seed(seed)
        logits, tokens = (
            3 * torch.randn(3, 6 + seed, 11),
            torch.randint(11, (3, 6 + seed)),
        )
        yield (
            partial(kata("today/05").token_logp, logits, tokens),
            partial(selective_log_softmax, logits[:, :-1], tokens[:, 1:]),
        )


class _Gated(nn.Module):
    """One of Mixtral's experts, with the weights it has among all of them."""

    def __init__(self, experts: nn.Module, index: int):
        super().__init__()
        self.experts, self.index = experts, index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen, weights = torch.full((len(x), 1), self.index), torch.ones(len(x), 1)
        return self.experts(x, chosen, weights)


def _experts() -> Iterator[tuple[Thunk, Thunk]]:
    """Mixtral's block and ours around its experts, and what both charge for the
    same choices.
    """
    import transformers
    from transformers.models.mixtral import modeling_mixtral

    for seed, (count, k) in enumerate(((4, 2), (8, 2), (8, 3))):
        sizes = {
            "num_local_experts": count,
            "num_experts_per_tok": k,
            "hidden_size": 24,
            "intermediate_size": 40,
        }
        theirs = _stirred(
            modeling_mixtral.MixtralSparseMoeBlock(
                transformers.MixtralConfig(**sizes, experts_implementation="eager")
            )
        )
        ours = kata("today/06").MoE(24, 40, count, k).eval()
        ours.router.load_state_dict(theirs.gate.state_dict())
        ours.experts = nn.ModuleList(
            _Gated(theirs.experts, index) for index in range(count)
        )
        x = torch.randn(2, 9, 24, generator=torch.Generator().manual_seed(seed))
        yield lambda ours=ours, x=x: ours(x)[0], partial(theirs, x)
        logits = 3 * torch.randn(
            18, count, generator=torch.Generator().manual_seed(seed)
        )
        chosen = kata("today/06").route_topk(logits, k)[1]
        yield (
            lambda logits=logits, chosen=chosen, k=k: (
                k * kata("today/06").balance_loss(logits.softmax(1), chosen)
            ),
            # counts choices per token
            partial(modeling_mixtral.load_balancing_loss_func, (logits,), count, k),
        )


def _delta_rules() -> Iterator[tuple[Thunk, Thunk]]:
    """Qwen3-Next's gated delta rule, by chunks and by steps, from a state. It has T
    before H, and divides q by √K.
    """
    from transformers.models.qwen3_next import modeling_qwen3_next as qwen

    for seed, (length, chunk) in enumerate(((5, 64), (37, 16), (128, 64))):
        torch.manual_seed(seed)
        q, k = torch.randn(2, 2, 3, length, 8)
        k = nn.functional.normalize(k, dim=-1)
        v, state = torch.randn(2, 3, length, 6), torch.randn(2, 3, 8, 6)
        beta, decay = torch.rand(2, 3, length), -torch.rand(2, 3, length)
        arguments = tuple(x.requires_grad_() for x in (q, k, v, beta, decay))

        def ours(*given, chunk=chunk, state=state):
            return torch.cat(
                [
                    x.flatten()
                    for x in kata("today/09").delta_chunked(*given, chunk, state)
                ]
            )

        for rule in (
            qwen.torch_chunk_gated_delta_rule,
            qwen.torch_recurrent_gated_delta_rule,
        ):

            def theirs(q, k, v, beta, decay, rule=rule, state=state):
                given = (x.transpose(1, 2) for x in (8**0.5 * q, k, v, decay, beta))
                out, new = rule(*given, initial_state=state, output_final_state=True)
                return torch.cat([out.transpose(1, 2).flatten(), new.flatten()])

            yield (
                partial(differentiated, ours, arguments, {}),
                partial(differentiated, theirs, arguments, {}),
            )


def _delta_layers() -> Iterator[tuple[Thunk, Thunk]]:
    """Qwen3-Next's layer with A = 1: then its decay is a sigmoid, as ours, of minus
    its logit.
    """
    import transformers
    from transformers.models.qwen3_next import modeling_qwen3_next as qwen

    for heads, features in ((2, 16), (3, 12), (1, 24)):
        width = heads * features
        sizes = {
            "linear_num_value_heads": heads,
            "linear_num_key_heads": heads,
            "hidden_size": width,
        }
        sizes |= {
            "linear_key_head_dim": features,
            "linear_value_head_dim": features,
            "linear_conv_kernel_dim": 4,
        }
        sizes |= {
            "num_hidden_layers": 1,
            "layer_types": ["linear_attention"],
            "rms_norm_eps": 1e-20,
        }
        config = transformers.Qwen3NextConfig(**sizes)
        theirs, ours = (
            _stirred(qwen.Qwen3NextGatedDeltaNet(config, 0)),
            kata("today/09").GatedDeltaNet(width, heads),
        )
        with torch.no_grad():
            theirs.A_log.zero_(), theirs.dt_bias.sub_(4), theirs.conv1d.weight.mul_(10)
            q, k, v, gate = theirs.in_proj_qkvz.weight.view(
                heads, 4, features, width
            ).unbind(1)
            beta, decay = theirs.in_proj_ba.weight.view(heads, 2, width).unbind(1)
            ours.qkv.weight.copy_(torch.cat([x.flatten(0, 1) for x in (q, k, v)]))
            ours.conv.copy_(theirs.conv1d.weight.squeeze(1))
            ours.gate.weight.copy_(gate.flatten(0, 1))
            ours.beta.weight.copy_(beta), ours.beta.bias.zero_()
            ours.decay.weight.copy_(-decay), ours.decay.bias.copy_(-theirs.dt_bias)
            ours.norm.eps = 1e-20
            (
                ours.norm.weight.copy_(theirs.norm.weight),
                ours.proj.weight.copy_(theirs.out_proj.weight),
            )
        for length in (1, 21, 64):
            x = 3 * torch.randn(
                2, length, width, generator=torch.Generator().manual_seed(length)
            )
            yield partial(ours, x), partial(theirs, x)


def rows() -> Iterator[Row]:
    llamas = _llamas(
        "Llama", {}, {"tie_word_embeddings": True}, {"num_key_value_heads": 6}
    )
    qwens = _llamas("Qwen3", {"head_dim": 8}, {"head_dim": 14})
    yield compared(
        "28 load_hf_weights", "transformers GPT2LMHeadModel", _logits_of(_gpt2()), 1e-4
    )
    yield compared(
        "today/01 load_llama", "transformers LlamaForCausalLM", _logits_of(llamas), 1e-4
    )
    yield compared(
        "today/01 load_llama", "transformers Qwen3ForCausalLM", _logits_of(qwens), 1e-4
    )
    yield compared("today/04 LoRALinear", "peft LoraConfig", _lora(), 1e-6)
    yield compared(
        "today/05 token_logp", "trl selective_log_softmax", _log_probabilities(), 1e-5
    )
    yield compared(
        "today/06 MoE, balance_loss",
        "transformers MixtralSparseMoeBlock",
        _experts(),
        1e-5,
    )
    yield compared(
        "today/09 delta_chunked",
        "transformers torch_chunk_gated_delta_rule",
        _delta_rules(),
        1e-4,
    )
    yield compared(
        "today/09 GatedDeltaNet",
        "transformers Qwen3NextGatedDeltaNet",
        _delta_layers(),
        1e-3,
    )
