"""Writes the folder `tokenizers` beside this file: small tokenizers of each kind trained by Python's `tokenizers` on lines of
tinyshakespeare and AG News, `texts.json`, and what they make of the texts, alone and in pairs, in `expected.json`.

    text-tokenizers.py TINYSHAKESPEARE AG_NEWS_CSV      writes the folder
    text-tokenizers.py --ids TOKENIZER.JSON < TEXTS     prints the ids of texts, one in JSON per line"""
import csv
import json
import sys
from pathlib import Path
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

odd = ['', ' ', 'naïve café — “quotes”…', '東京は日本の首都です。', '😀 emoji 👩‍👩‍👧 family', 'tab\tand  two   spaces ', 'ÀÉÎ ß ﬁ №', "don't we'll I'M", '1234567890 3.14 1,000', 'Привет, мир!', '[SEP] <s> and </s>', 'a_b snake_case x² ½ ñ', 'שלום עולם', 'ไทย हिन्दी']


def wordpiece(lines):
    t = Tokenizer(models.WordPiece(unk_token='[UNK]'))
    t.normalizer, t.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=400, special_tokens=['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'], limit_alphabet=70))
    cls, sep = t.token_to_id('[CLS]'), t.token_to_id('[SEP]')
    t.post_processor = processors.TemplateProcessing(single='[CLS] $A [SEP]', pair='[CLS] $A [SEP] $B:1 [SEP]:1', special_tokens=[('[CLS]', cls), ('[SEP]', sep)])
    t.decoder = decoders.WordPiece()
    return t


def roberta(lines):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=500, special_tokens=['<s>', '<pad>', '</s>', '<unk>', '<mask>'], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    t.post_processor = processors.RobertaProcessing(('</s>', 2), ('<s>', 0), add_prefix_space=False)
    return t


def unigram(lines):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace('``', '"')])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    t.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=300, special_tokens=['<s>', '<pad>', '</s>', '<unk>'], unk_token='<unk>'))
    t.post_processor = processors.TemplateProcessing(single='<s> $A </s>', pair='<s> $A </s> </s> $B </s>', special_tokens=[('<s>', 0), ('</s>', 2)])
    return t


def metaspace(lines):
    t = Tokenizer(models.BPE(unk_token='<unk>', fuse_unk=True))
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(prepend_scheme='first'), decoders.Metaspace()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=250, special_tokens=['<unk>', '<pad>'], limit_alphabet=60))
    return t


def clip(lines):
    t = Tokenizer(models.BPE(unk_token='<|endoftext|>', end_of_word_suffix='</w>'))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(__import__('tokenizers').Regex(r'\s+'), ' '), normalizers.Lowercase()])
    pattern = __import__('tokenizers').Regex(r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(pattern, 'removed', invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=700, special_tokens=['<|startoftext|>', '<|endoftext|>'], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix='</w>'))
    t.post_processor = processors.RobertaProcessing(('<|endoftext|>', 1), ('<|startoftext|>', 0), trim_offsets=False, add_prefix_space=False)
    return t


def words(lines):
    t = Tokenizer(models.WordLevel(unk_token='[UNK]'))
    t.normalizer, t.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    t.train_from_iterator(lines, trainers.WordLevelTrainer(vocab_size=300, special_tokens=['[PAD]', '[UNK]']))
    return t


if __name__ == '__main__':
    if sys.argv[1] == '--ids':
        t = Tokenizer.from_file(sys.argv[2])
        for line in sys.stdin:
            print(json.dumps(t.encode(json.loads(line)).ids))
        raise SystemExit
    folder = Path(__file__).parent / 'tokenizers'
    folder.mkdir(exist_ok=True)
    play = [line for line in Path(sys.argv[1]).read_text().splitlines() if line][:50]
    with open(sys.argv[2], encoding='utf8') as f:
        news = [row[2] for row in csv.reader(f)][:50]
    lines = play + news
    texts = [x for pair in zip(play, news) for x in pair] + odd
    expected = {}
    for make in (wordpiece, roberta, unigram, metaspace, clip, words):
        t = make(lines)
        t.save(str(folder / f'{make.__name__}.json'), pretty=False)
        pairs = [t.encode(a, b) for a, b in zip(texts[:20], texts[20:40])]
        t.enable_truncation(12)
        cut = [t.encode(a, b) for a, b in zip(texts[:20], texts[20:40])] + [t.encode(a) for a in texts[:20]]
        t.no_truncation()
        expected[make.__name__] = {
            'ids': [t.encode(x).ids for x in texts], 'pairs': [e.ids for e in pairs], 'types': [e.type_ids for e in pairs],
            'truncated': [e.ids for e in cut], 'decoded': [t.decode(t.encode(x).ids) for x in texts[:40]],
        }
    merges = Tokenizer(models.BPE())
    merges.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merges.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=700, special_tokens=['<pad>'], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    expected['merges'] = json.loads(merges.to_str())['model']['merges']
    (folder / 'texts.json').write_text(json.dumps(texts, ensure_ascii=False))
    (folder / 'expected.json').write_text(json.dumps(expected, ensure_ascii=False, separators=(',', ':')))
