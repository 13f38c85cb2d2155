// The `@mistralai/mistralai` package.
import { Mistral } from "@mistralai/mistralai";
import { z } from "zod";
import { chatFirst, chatTools, schema } from "./shared.mjs";

const chunks = (content) => (Array.isArray(content) ? content : content ? [{ type: "text", text: content }] : []);

function take(content, seen) {
  for (const chunk of chunks(content)) {
    if (chunk.type === "thinking") seen.thoughts += chunk.thinking.map((part) => part.text ?? "").join("");
    else seen.text += chunk.text ?? "";
  }
}

function takeCalls(calls, seen) {
  for (const { id, function: f } of calls ?? []) {
    const given = typeof f.arguments === "string" ? JSON.parse(f.arguments || "{}") : f.arguments;
    seen.calls.push({ id, name: f.name, arguments: given });
  }
}

export default () => ({
  open: (url) => new Mistral({ apiKey: "x", serverURL: url }),
  first(task) {
    const [user] = chatFirst({ ...task, system: null, history: [] });
    if (task.image) user.content[1] = { type: "image_url", imageUrl: user.content[1].image_url.url };
    return [...chatFirst({ ...task, image: null }).slice(0, -1), user];
  },
  results: (calls, outputs) =>
    calls.map(({ id, name }) => ({ role: "tool", toolCallId: id, name, content: outputs[name] })),
  user: (content) => [{ role: "user", content }],
  async ask(client, task, turns, seen, signal, abort) {
    const { tools, tool_choice: toolChoice } = chatTools(task);
    const body = { model: task.model, messages: turns, tools, toolChoice, stop: task.stop, maxTokens: task.limit };
    if (task.effort) body.reasoningEffort = task.effort;
    if (task.schema) {
      const jsonSchema = { name: "answer", schemaDefinition: z.toJSONSchema(schema) };
      body.responseFormat = { type: "json_schema", jsonSchema };
    }
    const options = { fetchOptions: { signal } };
    let message = { role: "assistant", content: "", toolCalls: [] };
    if (task.stream) {
      const content = [];
      for await (const { data } of await client.chat.stream(body, options)) {
        const choice = data.choices[0];
        content.push(...chunks(choice.delta.content));
        take(choice.delta.content, seen);
        message.toolCalls.push(...(choice.delta.toolCalls ?? []));
        seen.finish = choice.finishReason ?? seen.finish;
        if (data.usage) seen.usage = [data.usage.promptTokens, data.usage.completionTokens];
        if (seen.text) abort();
      }
      message.content = content;
      takeCalls(message.toolCalls, seen);
      if (seen.finish === null) throw new Error("the stream ended without a finish reason");
    } else {
      const found = await client.chat.complete(body, options);
      message = found.choices[0].message;
      take(message.content, seen);
      takeCalls(message.toolCalls, seen);
      seen.finish = found.choices[0].finishReason;
      seen.usage = [found.usage.promptTokens, found.usage.completionTokens];
    }
    if (task.schema) seen.parsed = schema.parse(JSON.parse(seen.text));
    return [message];
  },
  async embed(client, task) {
    const found = await client.embeddings.create({ model: task.model, inputs: task.texts });
    return { vectors: found.data.map((one) => one.embedding) };
  },
  async models(client) {
    return { ids: (await client.models.list()).data.map((one) => one.id) };
  },
});
