// The Vercel AI SDK (`ai`); `vercel:openai-chat` and the like name its provider.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createMistral } from "@ai-sdk/mistral";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, jsonSchema, Output, streamText, tool } from "ai";
import { createOllama } from "ollama-ai-provider-v2";
import { schema } from "./shared.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

// What each provider needs: how it is made, which of its models is meant, and how it is asked to think aloud.
const PROVIDERS = {
  "openai-chat": {
    make: (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey: "x" }),
    model: (provider, name) => provider.chat(name),
    thinking: (effort) => ({ openai: { reasoningEffort: effort, forceReasoning: true } }),
  },
  "openai-responses": {
    make: (url) => createOpenAI({ baseURL: `${url}/v1`, apiKey: "x" }),
    model: (provider, name) => provider.responses(name),
    thinking: (effort) => ({
      openai: {
        reasoningEffort: effort, reasoningSummary: "auto", store: false, forceReasoning: true,
        include: ["reasoning.encrypted_content"],
      },
    }),
    always: { openai: { store: false } },
  },
  anthropic: {
    make: (url) => createAnthropic({ baseURL: `${url}/v1`, apiKey: "x" }),
    thinking: () => ({ anthropic: { thinking: { type: "enabled", budgetTokens: 2048 } } }),
  },
  google: {
    make: (url) => createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey: "x" }),
    thinking: () => ({ google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2048 } } }),
  },
  mistral: {
    // Its requests do not all say whose they are, and the path is chat's: the prefix says it.
    make: (url) => createMistral({ baseURL: `${url}/mistral/v1`, apiKey: "x" }),
    thinking: (effort) => ({ mistral: { reasoningEffort: effort } }),
  },
  compatible: {
    make: (url) =>
      createOpenAICompatible({
        name: "ds2api", baseURL: `${url}/v1`, apiKey: "x", includeUsage: true, supportsStructuredOutputs: true,
      }),
    thinking: (effort) => ({ ds2api: { reasoningEffort: effort } }),
  },
  ollama: {
    make: (url) => createOllama({ baseURL: `${url}/api` }),
    thinking: () => ({ ollama: { think: true } }),
    // It leaves the AI SDK's own settings out, and has these for them.
    limits: (task) => ({ ollama: { options: { stop: task.stop, num_predict: task.limit } } }),
  },
};

export default (name) => {
  const kind = PROVIDERS[name];
  const model = kind.model ?? ((provider, id) => provider(id));
  return {
    open: kind.make,
    first(task) {
      const history = (task.history ?? []).map(([role, content]) => ({ role, content }));
      const image = { type: "image", image: task.image, mediaType: "image/png" };
      const content = task.image ? [{ type: "text", text: task.text }, image] : task.text;
      return [...history, { role: "user", content }];
    },
    results: (calls, outputs) => [
      {
        role: "tool",
        content: calls.map(({ id, name: toolName }) => ({
          type: "tool-result", toolCallId: id, toolName, output: { type: "text", value: outputs[toolName] },
        })),
      },
    ],
    user: (content) => [{ role: "user", content }],
    async ask(provider, task, turns, seen, abortSignal, abort) {
      const request = { model: model(provider, task.model), messages: turns, maxRetries: 0, abortSignal };
      if (kind.always) request.providerOptions = kind.always;
      if (task.system) request.system = task.system;
      if (task.tools) {
        request.tools = Object.fromEntries(
          task.tools.map(({ name: toolName, description, parameters }) => [
            toolName, tool({ description, inputSchema: jsonSchema(parameters) }),
          ]),
        );
      }
      if (task.choice) request.toolChoice = task.choice === "any" ? "required" : { type: "tool", toolName: task.choice };
      if (task.schema) request.output = Output.object({ schema });
      if (task.stop) request.stopSequences = task.stop;
      if (task.limit) request.maxOutputTokens = task.limit;
      if (task.effort) request.providerOptions = kind.thinking(task.effort);
      if (kind.limits && (task.stop || task.limit)) request.providerOptions = kind.limits(task);
      let failure = null;
      let result;
      if (task.stream) {
        result = streamText({ ...request, onError: ({ error }) => (failure = error) });
        for await (const part of result.fullStream) {
          if (part.type === "text-delta") seen.text += part.text;
          if (part.type === "error") throw part.error;
          if (part.type === "abort") throw Object.assign(new Error("aborted"), { name: "AbortError" });
          if (seen.text) abort();
        }
        if (failure) throw failure;
      } else result = await generateText(request);
      seen.text = await result.text;
      seen.thoughts = (await result.reasoningText) ?? "";
      seen.calls = (await result.toolCalls).map((one) => ({
        id: one.toolCallId, name: one.toolName, arguments: one.input,
      }));
      seen.finish = await result.finishReason;
      const usage = await result.usage;
      seen.usage = [usage.inputTokens, usage.outputTokens];
      if (task.schema) seen.parsed = await result.output;
      return (await result.response).messages;
    },
    async embed(provider, task) {
      const make = provider.embeddingModel ?? provider.textEmbeddingModel;
      if (!make) return { missing: true };
      const found = await embedMany({ model: make.call(provider, task.model), values: task.texts, maxRetries: 0 });
      return { vectors: found.embeddings };
    },
  };
};
