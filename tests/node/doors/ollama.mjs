// The `ollama` package.
import { Ollama } from "ollama";
import { z } from "zod";
import { schema } from "./shared.mjs";

function take(chunk, seen) {
  seen.text += chunk.message.content ?? "";
  seen.thoughts += chunk.message.thinking ?? "";
  for (const { id, function: f } of chunk.message.tool_calls ?? []) {
    seen.calls.push({ id, name: f.name, arguments: f.arguments });
  }
  if (chunk.done) {
    seen.finish = chunk.done_reason;
    seen.usage = [chunk.prompt_eval_count, chunk.eval_count];
  }
}

export default () => ({
  open: (url) => new Ollama({ host: url }),
  first(task) {
    const turns = task.system ? [{ role: "system", content: task.system }] : [];
    for (const [role, content] of task.history ?? []) turns.push({ role, content });
    return [...turns, { role: "user", content: task.text, ...(task.image ? { images: [task.image] } : {}) }];
  },
  results: (calls, outputs) => calls.map(({ name }) => ({ role: "tool", tool_name: name, content: outputs[name] })),
  user: (content) => [{ role: "user", content }],
  async ask(client, task, turns, seen, signal, abort) {
    const body = { model: task.model, messages: turns, stream: task.stream, options: {} };
    if (task.tools) body.tools = task.tools.map((one) => ({ type: "function", function: one }));
    if (task.schema) body.format = z.toJSONSchema(schema);
    if (task.stop) body.options.stop = task.stop;
    if (task.limit) body.options.num_predict = task.limit;
    if (task.effort) body.think = task.effort;
    if (task.stream) {
      signal.addEventListener("abort", () => client.abort());
      for await (const chunk of await client.chat(body)) {
        take(chunk, seen);
        if (seen.text) abort();
      }
    } else take(await client.chat(body), seen);
    if (task.schema) seen.parsed = schema.parse(JSON.parse(seen.text));
    const calls = seen.calls.map(({ name, arguments: given }) => ({ function: { name, arguments: given } }));
    return [{ role: "assistant", content: seen.text, thinking: seen.thoughts || undefined, tool_calls: calls }];
  },
  async embed(client, task) {
    return { vectors: (await client.embed({ model: task.model, input: task.texts })).embeddings };
  },
  async models(client) {
    return { ids: (await client.list()).models.map((one) => one.model) };
  },
});
