"""Writes the folder `text-video` beside this file: one folder per case with a tiny random checkpoint as transformers saves it,
and `expected.safetensors`: ids, mask and kinds of tokens `ids.<i>`, `mask.<i>`, `types.<i>` or videos `videos.<i>`
[B, T, H, W, C], and what the model makes of them in evaluation under `hidden.<i>.<layer>`, `sequence.<i>`, `embedding.<i>`.

`text-video-encoders.py FOLDER CASES.json` writes other cases instead: a list of {"name", "kind", "config", ...}."""
import json
import sys
from pathlib import Path
import torch
# torchvision's compiled operators are not needed, but looked up at import.
try:
    _ops = torch.library.Library('torchvision', 'DEF')
    for _op in ('nms', 'qnms'):
        _ops.define(_op + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')
except RuntimeError:
    pass
import transformers as hf
from safetensors.torch import save_file

torch.set_num_threads(1)
kinds = {
    'bert': (hf.BertConfig, hf.BertModel), 'bert-mlm': (hf.BertConfig, hf.BertForMaskedLM),
    'roberta': (hf.RobertaConfig, hf.RobertaModel), 'distilbert': (hf.DistilBertConfig, hf.DistilBertModel),
    'clip-text': (hf.CLIPTextConfig, hf.CLIPTextModel), 'clip-text-projection': (hf.CLIPTextConfig, hf.CLIPTextModelWithProjection),
    'clip': (hf.CLIPConfig, hf.CLIPModel), 'videomae': (hf.VideoMAEConfig, hf.VideoMAEModel),
    'videomae-classifier': (hf.VideoMAEConfig, hf.VideoMAEForVideoClassification),
    'timesformer': (hf.TimesformerConfig, hf.TimesformerModel),
    'timesformer-classifier': (hf.TimesformerConfig, hf.TimesformerForVideoClassification),
}


def stir(model):
    """Random weights large enough that every one of them shows."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.dim() > 1 and 'embeddings.' not in name and 'token' not in name:
                p.copy_(noise * (1.5 / p[0].numel()) ** 0.5)
            else:
                p.add_(0.2 * noise)
    return model.eval()


def pool(x, mask, how):
    """Pooling of sentence-transformers."""
    m = mask.unsqueeze(-1).float()
    if how == 'cls':
        return x[:, 0]
    if how == 'max':
        return x.masked_fill(m == 0, -1e9).max(1).values
    if how == 'lasttoken':
        return torch.stack([row[keep.nonzero().max()] for row, keep in zip(x, mask)])
    if how == 'weightedmean_tokens':
        m = m * torch.arange(1, x.shape[1] + 1).float()[None, :, None]
    total = m.sum(1).clamp(min=1e-9)
    return (x * m).sum(1) / (total.sqrt() if how == 'mean_sqrt_len_tokens' else total)


def sentence(target, how, width, normalize):
    modules = [{'idx': 0, 'name': '0', 'path': '', 'type': 'sentence_transformers.models.Transformer'},
               {'idx': 1, 'name': '1', 'path': '1_Pooling', 'type': 'sentence_transformers.models.Pooling'}]
    if normalize:
        modules.append({'idx': 2, 'name': '2', 'path': '2_Normalize', 'type': 'sentence_transformers.models.Normalize'})
    (target / 'modules.json').write_text(json.dumps(modules))
    flags = {'cls': 'cls_token', 'mean': 'mean_tokens', 'max': 'max_tokens'}
    folder = target / '1_Pooling'
    folder.mkdir(exist_ok=True)
    config = {'word_embedding_dimension': width} | {f'pooling_mode_{flags.get(k, k)}': k == how for k in ('cls', 'mean', 'max', 'mean_sqrt_len_tokens', 'weightedmean_tokens', 'lasttoken')}
    (folder / 'config.json').write_text(json.dumps(config))


def text_inputs(case, config, generator):
    text = getattr(config, 'text_config', config)
    pad = case.get('pad', 0)
    for b, t, *lengths in case.get('shapes', [[2, 7, 7, 4]]):
        ids = torch.randint(3, text.vocab_size - 1, (b, t), generator=generator)
        mask = torch.ones(b, t, dtype=torch.long)
        for row, n in enumerate(lengths):
            ids[row, n:], mask[row, n:] = pad, 0
        for row in range(b if case.get('eos') is not None else 0):
            n = lengths[row] if row < len(lengths) else t
            ids[row, n - 1] = case['eos']
        types = torch.randint(0, config.type_vocab_size, (b, t), generator=generator) if case.get('types') else None
        yield ids, (mask if lengths else None), types


def write(folder, case):
    kind, config = case['kind'], dict(case['config'])
    Config, Model = kinds[kind]
    torch.manual_seed(0)
    config = Config(**config)
    model = stir(Model(config))
    target = folder / case['name']
    target.mkdir(parents=True, exist_ok=True)
    if case.get('no_pooler'):
        model.pooler = None
    model.save_pretrained(target)
    tensors = {}
    generator = torch.Generator().manual_seed(1)
    video = kind.startswith(('videomae', 'timesformer'))
    if case.get('pooling'):
        sentence(target, case['pooling'], config.hidden_size, case.get('normalize', False))
    if video:
        h, w = (config.image_size,) * 2 if isinstance(config.image_size, int) else config.image_size
        inputs = [(torch.randn(2, config.num_frames, config.num_channels, h, w, generator=generator), None, None)]
    else:
        inputs = text_inputs(case, config, generator)
    for i, (x, mask, types) in enumerate(inputs):
        with torch.inference_mode():
            tower = getattr(model, 'videomae', None) or getattr(model, 'timesformer', None) or getattr(model, 'text_model', None) or getattr(model, 'bert', None) or model
            extra = ({} if mask is None else {'attention_mask': mask}) | ({} if types is None else {'token_type_ids': types})
            y = tower(x, output_hidden_states=True, **extra)
            sequence = y.last_hidden_state
            if case.get('pooling'):
                embedding = pool(sequence, torch.ones_like(x) if mask is None else mask, case['pooling'])
                embedding = torch.nn.functional.normalize(embedding) if case.get('normalize') else embedding
            elif kind.startswith('videomae'):
                embedding = sequence.mean(1) if config.use_mean_pooling else sequence[:, 0]
                embedding = embedding if getattr(model, 'fc_norm', None) is None else model.fc_norm(embedding)
            elif kind.startswith('timesformer'):
                embedding = sequence[:, 0]
                if config.attention_type == 'space_only':
                    embedding = embedding.reshape(len(x), -1, embedding.shape[-1]).mean(1)
                    sequence = sequence.reshape(len(x), -1, sequence.shape[-1])
            else:
                pooled = getattr(y, 'pooler_output', None)
                embedding = sequence[:, 0] if pooled is None else pooled
                if hasattr(model, 'text_projection'):
                    embedding = model.text_projection(embedding)
        if video:
            tensors[f'videos.{i}'] = x.permute(0, 1, 3, 4, 2)
        else:
            tensors[f'ids.{i}'] = x.int()
            if mask is not None:
                tensors[f'mask.{i}'] = mask.int()
            if types is not None:
                tensors[f'types.{i}'] = types.int()
        for layer, h in enumerate(y.hidden_states):
            tensors[f'hidden.{i}.{layer}'] = h
        tensors[f'sequence.{i}'], tensors[f'embedding.{i}'] = sequence, embedding
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, target / 'expected.safetensors')


bert = {'vocab_size': 24, 'hidden_size': 16, 'num_hidden_layers': 2, 'num_attention_heads': 2, 'intermediate_size': 24, 'max_position_embeddings': 12}
distil = {'vocab_size': 24, 'dim': 16, 'n_layers': 2, 'n_heads': 4, 'hidden_dim': 24, 'max_position_embeddings': 12}
vision = {'hidden_size': 8, 'num_hidden_layers': 1, 'num_attention_heads': 2, 'intermediate_size': 8, 'image_size': 8, 'patch_size': 8, 'projection_dim': 8}
clip = bert | {'bos_token_id': 1, 'eos_token_id': 23, 'projection_dim': 6}
video = {'image_size': 8, 'patch_size': 4, 'num_frames': 4, 'hidden_size': 12, 'num_hidden_layers': 2, 'num_attention_heads': 2, 'intermediate_size': 16}
small = bert | {'hidden_size': 8, 'num_hidden_layers': 1, 'intermediate_size': 12}
thin = distil | {'dim': 8, 'n_layers': 1, 'hidden_dim': 12}
two = [[2, 7, 7, 4], [3, 5]]
cases = [
    {'name': 'bert', 'kind': 'bert', 'config': bert, 'types': True, 'shapes': [[2, 7, 7, 4], [3, 12]]},
    {'name': 'bert-mlm', 'kind': 'bert-mlm', 'config': small | {'hidden_act': 'gelu_new', 'type_vocab_size': 3, 'layer_norm_eps': 1e-3}, 'shapes': two},
    {'name': 'roberta', 'kind': 'roberta', 'config': bert | {'type_vocab_size': 1, 'layer_norm_eps': 1e-5, 'pad_token_id': 1, 'bos_token_id': 0, 'eos_token_id': 2}, 'pad': 1, 'shapes': [[2, 9, 9, 4], [3, 5]]},
    {'name': 'distilbert', 'kind': 'distilbert', 'config': distil | {'activation': 'relu'}, 'shapes': two},
    {'name': 'distilbert-sinusoidal', 'kind': 'distilbert', 'config': thin | {'sinusoidal_pos_embds': True}},
    {'name': 'minilm', 'kind': 'bert', 'config': small, 'pooling': 'mean', 'normalize': True, 'shapes': two},
    {'name': 'sentence-cls', 'kind': 'bert', 'config': small, 'pooling': 'cls', 'shapes': two},
    {'name': 'sentence-max', 'kind': 'bert', 'config': small, 'pooling': 'max', 'no_pooler': True, 'shapes': two},
    {'name': 'sentence-weighted', 'kind': 'distilbert', 'config': thin, 'pooling': 'weightedmean_tokens', 'shapes': two},
    {'name': 'sentence-sqrt', 'kind': 'distilbert', 'config': thin, 'pooling': 'mean_sqrt_len_tokens', 'shapes': two},
    {'name': 'sentence-last', 'kind': 'distilbert', 'config': thin, 'pooling': 'lasttoken', 'shapes': two},
    {'name': 'clip-text', 'kind': 'clip-text', 'config': clip, 'eos': 23, 'pad': 23, 'shapes': two},
    {'name': 'clip-text-legacy', 'kind': 'clip-text-projection', 'config': clip | {'eos_token_id': 2, 'hidden_act': 'gelu'}, 'eos': 23, 'pad': 0, 'shapes': two},
    {'name': 'clip-both', 'kind': 'clip', 'config': {'text_config': clip | small, 'vision_config': vision, 'projection_dim': 5}, 'eos': 23, 'shapes': two},
    {'name': 'videomae', 'kind': 'videomae', 'config': video | {'use_mean_pooling': False, 'tubelet_size': 2}},
    {'name': 'videomae-classifier', 'kind': 'videomae-classifier', 'config': video | {'num_labels': 3, 'tubelet_size': 1, 'num_channels': 1, 'hidden_act': 'relu', 'layer_norm_eps': 1e-3}},
    {'name': 'videomae-no-bias', 'kind': 'videomae', 'config': video | {'qkv_bias': False, 'num_hidden_layers': 1, 'image_size': [8, 12]}},
    {'name': 'timesformer', 'kind': 'timesformer', 'config': video},
    {'name': 'timesformer-joint', 'kind': 'timesformer-classifier', 'config': video | {'attention_type': 'joint_space_time', 'qkv_bias': False, 'num_labels': 3}},
    {'name': 'timesformer-space', 'kind': 'timesformer', 'config': video | {'attention_type': 'space_only', 'num_hidden_layers': 1}},
]

if __name__ == '__main__':
    if len(sys.argv) > 2:
        for case in json.loads(Path(sys.argv[2]).read_text()):
            write(Path(sys.argv[1]), case)
    else:
        for case in cases:
            write(Path(__file__).parent / 'text-video', case)
