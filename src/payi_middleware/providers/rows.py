"""The providers that are known by their host: data, each row with the vendor's own page."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ROWS", "Row"]

_OPENAI = "system.openai"
_AZURE_OPENAI = "system.azureopenai"
_AZURE = "system.azure"
_ANTHROPIC = "system.anthropic"
_BEDROCK = "system.aws.bedrock"
_VERTEX = "system.google.vertex"
_CHAT = ("openai.chat",)
_CHAT_AND_PROMPTS = ("openai.chat", "openai.completions")


class Row(NamedTuple):
    """Describe one provider; a host that starts with `*.` or has a `*` within stands for all hosts of that form.

    `anthropic_category` is the category of its Anthropic-shaped calls, `plain_chat` whether its path for
    chat completions ends in just `/chat`. `publisher` is whose models Pay-i's resources are named after there.
    `stream_usage` are the apis that the vendor documents `stream_options.include_usage` for, so that their streams may
    be asked for it; where the host has versions (`api-version`), from `stream_usage_since` on.
    """

    name: str
    category: str
    hosts: tuple[str, ...]
    source: str
    resource_from: str = "request"
    anthropic_category: str | None = None
    plain_chat: bool = False
    publisher: str | None = None
    stream_usage: tuple[str, ...] = ()
    stream_usage_since: str | None = None


ROWS = (
    Row(
        "openai",
        _OPENAI,
        ("api.openai.com", "*.api.openai.com"),
        "https://platform.openai.com/docs/api-reference",
        stream_usage=_CHAT_AND_PROMPTS,
    ),
    Row("chatgpt", _OPENAI, ("chatgpt.com",), "https://developers.openai.com/codex/auth"),
    Row(
        "azure",
        _AZURE_OPENAI,
        (
            "*.openai.azure.com",
            "*.services.ai.azure.com",
            "*.cognitiveservices.azure.com",
            "*.openai.azure.us",
            "*.openai.azure.cn",
        ),
        "https://learn.microsoft.com/azure/ai-foundry/openai/reference",
        resource_from="response",  # the request names a deployment, which the customer calls what he likes
        anthropic_category=_AZURE,
        stream_usage=_CHAT_AND_PROMPTS,
        # https://learn.microsoft.com/azure/ai-services/openai/api-version-deprecation; the newest API has no versions
        stream_usage_since="2024-09-01",
    ),
    Row("anthropic", _ANTHROPIC, ("api.anthropic.com",), "https://docs.anthropic.com/en/api/messages"),
    Row(
        "bedrock",
        _BEDROCK,
        ("bedrock-runtime.*.amazonaws.com", "bedrock-runtime-fips.*.amazonaws.com", "bedrock-mantle.*.api.aws"),
        "https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html",
    ),
    Row(
        "google",
        _VERTEX,
        ("generativelanguage.googleapis.com",),
        "https://ai.google.dev/gemini-api/docs/openai",
        publisher="google",
    ),
    Row(
        "google",
        _VERTEX,
        (
            "aiplatform.googleapis.com",
            "*-aiplatform.googleapis.com",
            "aiplatform.*.rep.googleapis.com",
            "aiplatform.mtls.googleapis.com",
            "*-aiplatform.mtls.googleapis.com",
        ),
        "https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai",
        publisher="google",
    ),
    Row(
        "databricks",
        "system.databricks.azure",
        ("*.azuredatabricks.net",),
        "https://learn.microsoft.com/azure/databricks/machine-learning/model-serving/score-foundation-models",
    ),
    Row(
        "databricks",
        "system.databricks.aws",
        ("*.cloud.databricks.com",),
        "https://docs.databricks.com/aws/en/machine-learning/model-serving/score-foundation-models",
    ),
    Row(
        "databricks",
        "system.databricks.google",
        ("*.gcp.databricks.com",),
        "https://docs.databricks.com/gcp/en/machine-learning/model-serving/score-foundation-models",
    ),
    Row("ai21", "ai21", ("api.ai21.com",), "https://docs.ai21.com/reference/jamba-1-6-api-ref"),
    Row(
        "alibaba",
        "alibaba",
        ("dashscope.aliyuncs.com", "dashscope-*.aliyuncs.com"),
        "https://help.aliyun.com/zh/model-studio/compatibility-of-openai-with-dashscope",
        stream_usage=_CHAT_AND_PROMPTS,
    ),
    Row("baseten", "baseten", ("inference.baseten.co",), "https://docs.baseten.co/development/model-apis/overview"),
    Row("cerebras", "cerebras", ("api.cerebras.ai",), "https://inference-docs.cerebras.ai/resources/openai"),
    Row(
        "cloudflare",
        "cloudflare",
        ("api.cloudflare.com",),
        "https://developers.cloudflare.com/workers-ai/configuration/open-ai-compatibility/",
    ),
    Row("cohere", "cohere", ("api.cohere.com", "api.cohere.ai"), "https://docs.cohere.com/docs/compatibility-api"),
    Row(
        "crusoe",
        "crusoe",
        ("api.inference.crusoecloud.com",),
        "https://docs.crusoecloud.com/managed-inference/overview",
    ),
    Row("deepinfra", "deepinfra", ("api.deepinfra.com",), "https://deepinfra.com/docs/openai_api"),
    Row(
        "deepseek",
        "deepseek",
        ("api.deepseek.com",),
        "https://api-docs.deepseek.com/api/create-chat-completion",
        stream_usage=_CHAT_AND_PROMPTS,
    ),
    Row(
        "digitalocean",
        "digitalocean",
        ("inference.do-ai.run",),
        "https://docs.digitalocean.com/products/gradient-ai-platform/how-to/use-serverless-inference/",
    ),
    Row("doubleword", "doubleword", ("api.doubleword.ai",), "https://docs.doubleword.ai/"),
    Row("featherless", "featherless", ("api.featherless.ai",), "https://featherless.ai/docs/overview"),
    Row("fireworks", "fireworks", ("api.fireworks.ai",), "https://docs.fireworks.ai/tools-sdks/openai-compatibility"),
    Row("friendli", "friendli", ("api.friendli.ai",), "https://friendli.ai/docs/openapi/introduction"),
    Row(
        "github-copilot",
        "github-copilot",
        ("api.githubcopilot.com", "*.githubcopilot.com"),
        "https://docs.github.com/copilot",
    ),
    Row(
        "github-models",
        "github-models",
        ("models.github.ai", "models.inference.ai.azure.com"),
        "https://docs.github.com/rest/models/inference",
    ),
    Row("groq", "groq", ("api.groq.com",), "https://console.groq.com/docs/openai"),
    Row(
        "heroku",
        "heroku",
        ("*.inference.heroku.com",),
        "https://devcenter.heroku.com/articles/heroku-inference-api-v1-chat-completions",
    ),
    Row(
        "huggingface",
        "huggingface",
        ("router.huggingface.co",),
        "https://huggingface.co/docs/inference-providers/index",
    ),
    Row("hyperbolic", "hyperbolic", ("api.hyperbolic.xyz",), "https://docs.hyperbolic.xyz/docs/rest-api"),
    Row("inception", "inception", ("api.inceptionlabs.ai",), "https://docs.inceptionlabs.ai/get-started/get-started"),
    Row("jina", "jina", ("api.jina.ai",), "https://jina.ai/embeddings"),
    Row(
        "minimax",
        "minimax",
        ("api.minimax.io", "api.minimaxi.com"),
        "https://platform.minimax.io/docs/api-reference/text-openai-api",
    ),
    Row("mistral", "mistral", ("api.mistral.ai", "codestral.mistral.ai"), "https://docs.mistral.ai/api/"),
    Row("moonshot", "moonshot", ("api.moonshot.ai", "api.moonshot.cn"), "https://platform.moonshot.ai/docs/api/chat"),
    Row(
        "nebius",
        "nebius",
        ("api.studio.nebius.com", "api.studio.nebius.ai", "api.tokenfactory.nebius.com"),
        "https://docs.nebius.com/studio/inference/api",
    ),
    Row(
        "novita",
        "novita",
        ("api.novita.ai",),
        "https://novita.ai/docs/api-reference/model-apis-llm-create-chat-completion",
    ),
    Row("nvidia", "nvidia", ("integrate.api.nvidia.com",), "https://docs.api.nvidia.com/nim/reference/llm-apis"),
    Row(
        "ollama",
        "ollama",
        ("ollama.com",),
        "https://docs.ollama.com/api/openai-compatibility",
        stream_usage=_CHAT_AND_PROMPTS,
    ),
    Row("openrouter", "openrouter", ("openrouter.ai",), "https://openrouter.ai/docs/api-reference/overview"),
    Row("perplexity", "perplexity", ("api.perplexity.ai",), "https://docs.perplexity.ai/guides/chat-completions-guide"),
    Row("portkey", "portkey", ("api.portkey.ai",), "https://portkey.ai/docs/api-reference/inference-api/introduction"),
    Row(
        "sambanova",
        "sambanova",
        ("api.sambanova.ai",),
        "https://docs.sambanova.ai/cloud/docs/capabilities/openai-compatibility",
    ),
    Row(
        "scaleway",
        "scaleway",
        ("api.scaleway.ai",),
        "https://www.scaleway.com/en/docs/generative-apis/api-cli/using-chat-api/",
    ),
    Row(
        "siliconflow",
        "siliconflow",
        ("api.siliconflow.com", "api.siliconflow.cn"),
        "https://docs.siliconflow.com/en/api-reference/chat-completions/chat-completions",
    ),
    Row(
        "snowflake",
        "snowflake",
        ("*.snowflakecomputing.com",),
        "https://docs.snowflake.com/en/user-guide/snowflake-cortex/open_ai_sdk",
    ),
    Row(
        "together",
        "together",
        ("api.together.xyz", "api.together.ai"),
        "https://docs.together.ai/docs/openai-api-compatibility",
    ),
    Row("upstage", "upstage", ("api.upstage.ai",), "https://console.upstage.ai/api/chat"),
    Row(
        "venice",
        "venice",
        ("api.venice.ai",),
        "https://docs.venice.ai/api-reference/api-spec",
        stream_usage=_CHAT,
    ),
    Row("vercel", "vercel", ("ai-gateway.vercel.sh",), "https://vercel.com/docs/ai-gateway/openai-compat"),
    Row("volcengine", "volcengine", ("ark.*.volces.com",), "https://www.volcengine.com/docs/82379/1298454"),
    Row("voyage", "voyage", ("api.voyageai.com",), "https://docs.voyageai.com/reference/embeddings-api"),
    Row(
        "writer",
        "writer",
        ("api.writer.com",),
        "https://dev.writer.com/api-reference/completion-api/chat-completion",
        plain_chat=True,
        stream_usage=_CHAT,
    ),
    Row("xai", "xai", ("api.x.ai", "*.api.x.ai"), "https://docs.x.ai/docs/api-reference"),
    Row("zai", "zai", ("api.z.ai", "open.bigmodel.cn"), "https://docs.z.ai/api-reference/llm/chat-completion"),
)
