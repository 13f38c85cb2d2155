// The `@google/genai` package; `google:v1` and `google:v1beta` are its two versions of the API.
import { GoogleGenAI } from "@google/genai";
import { z } from "zod";
import { schema } from "./shared.mjs";

function take(chunk, seen, parts) {
  const candidate = chunk.candidates?.[0];
  for (const part of candidate?.content?.parts ?? []) {
    parts.push(part);
    if (part.thought) seen.thoughts += part.text ?? "";
    else seen.text += part.text ?? "";
    const call = part.functionCall;
    if (call) seen.calls.push({ id: call.id, name: call.name, arguments: call.args ?? {} });
  }
  seen.finish = candidate?.finishReason ?? chunk.promptFeedback?.blockReason ?? seen.finish;
  const usage = chunk.usageMetadata;
  if (usage) seen.usage = [usage.promptTokenCount, (usage.candidatesTokenCount ?? 0) + (usage.thoughtsTokenCount ?? 0)];
}

export default (apiVersion) => ({
  open: (url) => new GoogleGenAI({ apiKey: "x", httpOptions: { baseUrl: url, apiVersion } }),
  first(task) {
    const parts = [{ text: task.text }];
    if (task.image) parts.push({ inlineData: { mimeType: "image/png", data: task.image } });
    const history = (task.history ?? []).map(([role, text]) => ({
      role: role === "assistant" ? "model" : role, parts: [{ text }],
    }));
    return [...history, { role: "user", parts }];
  },
  results: (calls, outputs) => [
    {
      role: "user",
      parts: calls.map(({ id, name }) => ({ functionResponse: { id, name, response: { output: outputs[name] } } })),
    },
  ],
  user: (text) => [{ role: "user", parts: [{ text }] }],
  async ask(client, task, turns, seen, abortSignal, abort) {
    const config = { abortSignal };
    if (task.system) config.systemInstruction = task.system;
    if (task.tools) {
      config.tools = [
        {
          functionDeclarations: task.tools.map(({ parameters, ...one }) => ({
            ...one, parametersJsonSchema: parameters,
          })),
        },
      ];
    }
    if (task.choice) {
      const allowed = task.choice === "any" ? {} : { allowedFunctionNames: [task.choice] };
      config.toolConfig = { functionCallingConfig: { mode: "ANY", ...allowed } };
    }
    if (task.schema) {
      Object.assign(config, { responseMimeType: "application/json", responseJsonSchema: z.toJSONSchema(schema) });
    }
    if (task.stop) config.stopSequences = task.stop;
    if (task.limit) config.maxOutputTokens = task.limit;
    if (task.effort) config.thinkingConfig = { includeThoughts: true, thinkingBudget: 2048 };
    const request = { model: task.model, contents: turns, config };
    const parts = [];
    if (task.stream) {
      for await (const chunk of await client.models.generateContentStream(request)) {
        take(chunk, seen, parts);
        if (seen.text) abort();
      }
    } else take(await client.models.generateContent(request), seen, parts);
    if (task.schema) seen.parsed = schema.parse(JSON.parse(seen.text));
    return [{ role: "model", parts }];
  },
  async embed(client, task) {
    const found = await client.models.embedContent({ model: task.model, contents: task.texts });
    return { vectors: found.embeddings.map((one) => one.values) };
  },
  async models(client) {
    const ids = [];
    for await (const one of await client.models.list()) ids.push(one.name.replace("models/", ""));
    return { ids };
  },
  async count(client, task) {
    return { tokens: (await client.models.countTokens({ model: task.model, contents: task.text })).totalTokens };
  },
});
