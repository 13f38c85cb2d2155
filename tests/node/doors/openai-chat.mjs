// The `openai` package, Chat Completions.
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { chatFirst, chatResults, chatTools, schema } from "./shared.mjs";

const text = (content) =>
  Array.isArray(content) ? content.map((part) => part.text ?? "").join("") : (content ?? "");
const thoughts = (delta) => {
  const parts = Array.isArray(delta?.content) ? delta.content : [];
  const chunks = parts.flatMap((part) => (part.type === "thinking" ? part.thinking : []));
  return (delta?.reasoning_content ?? "") + chunks.map((part) => part.text ?? "").join("");
};

function take(message, choice, usage, seen) {
  seen.calls = (message.tool_calls ?? []).map(({ id, function: f }) => ({
    id, name: f.name, arguments: JSON.parse(f.arguments || "{}"),
  }));
  seen.finish = choice.finish_reason;
  seen.refusal = message.refusal ?? null;
  if (usage) seen.usage = [usage.prompt_tokens, usage.completion_tokens];
  seen.parsed = message.parsed ?? null;
}

export default () => ({
  open: (url) => new OpenAI({ baseURL: `${url}/v1`, apiKey: "x", maxRetries: 0 }),
  first: chatFirst,
  results: chatResults,
  user: (content) => [{ role: "user", content }],
  async ask(client, task, turns, seen, signal, abort) {
    const body = { model: task.model, messages: turns, ...chatTools(task) };
    if (task.schema) body.response_format = zodResponseFormat(schema, "answer");
    if (task.stop) body.stop = task.stop;
    if (task.limit) body.max_completion_tokens = task.limit;
    if (task.effort) body.reasoning_effort = task.effort;
    if (!task.stream) {
      const completion = await (task.schema
        ? client.chat.completions.parse(body, { signal })
        : client.chat.completions.create(body, { signal }));
      const choice = completion.choices[0];
      seen.text = text(choice.message.content);
      seen.thoughts = thoughts(choice.message);
      take(choice.message, choice, completion.usage, seen);
      return [choice.message];
    }
    const stream = client.chat.completions.stream(
      { ...body, stream_options: { include_usage: true } }, { signal },
    );
    for await (const chunk of stream) {
      const delta = chunk.choices[0]?.delta;
      seen.text += text(delta?.content);
      seen.thoughts += thoughts(delta);
      if (seen.text) abort();
    }
    const completion = await stream.finalChatCompletion();
    const choice = completion.choices[0];
    take(choice.message, choice, completion.usage, seen);
    return [choice.message];
  },
  async embed(client, task) {
    const found = await client.embeddings.create({ model: task.model, input: task.texts });
    return { vectors: found.data.map((one) => one.embedding) };
  },
  async models(client) {
    const ids = [];
    for await (const one of client.models.list()) ids.push(one.id);
    return { ids };
  },
});
