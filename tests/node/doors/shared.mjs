// What several doors say alike: the schema of a structured answer, and chat's form of turns and tools.
import { z } from "zod";

export const schema = z.object({ city: z.string(), degrees: z.number() });

export function chatFirst(task) {
  const turns = task.system ? [{ role: "system", content: task.system }] : [];
  for (const [role, content] of task.history ?? []) turns.push({ role, content });
  const image = { type: "image_url", image_url: { url: `data:image/png;base64,${task.image}` } };
  return [...turns, { role: "user", content: task.image ? [{ type: "text", text: task.text }, image] : task.text }];
}

export const chatResults = (calls, outputs) =>
  calls.map(({ id, name }) => ({ role: "tool", tool_call_id: id, content: outputs[name] }));

export function chatTools(task) {
  if (!task.tools) return {};
  const tools = task.tools.map((one) => ({ type: "function", function: one }));
  if (!task.choice) return { tools };
  const named = { type: "function", function: { name: task.choice } };
  return { tools, tool_choice: task.choice === "any" ? "required" : named };
}
