// The `@anthropic-ai/sdk` package.
import Anthropic from "@anthropic-ai/sdk";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { schema } from "./shared.mjs";

function take(message, seen) {
  const of = (type) => message.content.filter((block) => block.type === type);
  seen.text = of("text").map((block) => block.text).join("");
  seen.thoughts = of("thinking").map((block) => block.thinking).join("");
  seen.calls = of("tool_use").map(({ id, name, input }) => ({ id, name, arguments: input }));
  seen.finish = message.stop_reason;
  seen.usage = [message.usage.input_tokens, message.usage.output_tokens];
  seen.parsed = message.parsed_output ?? null;
  return [{ role: "assistant", content: message.content }];
}

export default () => ({
  open: (url) => new Anthropic({ baseURL: url, apiKey: "x", maxRetries: 0 }),
  first(task) {
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: task.image } };
    const content = task.image ? [{ type: "text", text: task.text }, image] : task.text;
    return [...(task.history ?? []).map(([role, text]) => ({ role, content: text })), { role: "user", content }];
  },
  results: (calls, outputs) => [
    {
      role: "user",
      content: calls.map(({ id, name }) => ({ type: "tool_result", tool_use_id: id, content: outputs[name] })),
    },
  ],
  user: (content) => [{ role: "user", content }],
  async ask(client, task, turns, seen, signal, abort) {
    const body = { model: task.model, max_tokens: task.limit ?? 4096, messages: turns };
    if (task.system) body.system = task.system;
    if (task.tools) {
      body.tools = task.tools.map(({ parameters, ...one }) => ({ ...one, input_schema: parameters }));
    }
    if (task.choice) body.tool_choice = task.choice === "any" ? { type: "any" } : { type: "tool", name: task.choice };
    if (task.schema) body.output_config = { format: zodOutputFormat(schema) };
    if (task.stop) body.stop_sequences = task.stop;
    if (task.effort) body.thinking = { type: "enabled", budget_tokens: 2048 };
    if (!task.stream) {
      const ask = task.schema ? client.messages.parse : client.messages.create;
      return take(await ask.call(client.messages, body, { signal }), seen);
    }
    const stream = client.messages.stream(body, { signal });
    for await (const event of stream) {
      if (event.delta?.type === "text_delta") seen.text += event.delta.text;
      if (seen.text) abort();
    }
    return take(await stream.finalMessage(), seen);
  },
  async models(client) {
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    return { ids };
  },
  async count(client, task) {
    const messages = [{ role: "user", content: task.text }];
    return { tokens: (await client.messages.countTokens({ model: task.model, messages })).input_tokens };
  },
});
