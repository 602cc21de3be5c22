"""The backbone below the decoders of other libraries, each in a module of its own, which needs that library alone.

Nothing here needs detectron2. Hugging Face transformers, which wants classes of configurations and models, is `imrsf_d2.hf`.
"""
