// What the checks of every JavaScript SDK share. A check is a function of a base URL; it resolves, or rejects.
import { readFileSync } from "node:fs"
import { tool } from "ai"
import { z } from "zod"

export const STORY = [{ role: "user", content: "Tell me a story" }]
export const BOTH = [{ role: "user", content: "Use get_weather and then get_time" }]
export const said = content => [{ role: "user", content }]
export const AWKWARD = 'caf\u00e9 \u{1f98a}\u2028\u0085 "quoted" \\ back\nline e\u0301'
export const parameters = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 9 } },
  required: ["city", "days"],
  additionalProperties: false,
}
export const tools = Object.fromEntries(["get_weather", "get_time"].map(name => [name, tool({
  description: name, inputSchema: z.object({ city: z.string(), days: z.number().int().min(1).max(9) }),
})]))
export const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
// A base URL whose answers break off with an error after two tokens.
export const withFault = url => url.replace(/\/v1$/, "/fault=error&at=2/v1")
export const lastRecord = async url => (await (await fetch(url.replace(/\/v1$/, "/journal"))).json()).at(-1)

export const version = name => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version

// Runs the checks against the server at the URL in argv, and prints one line of JSON for each.
// `clients` maps the beginning of a check's name to the client with its version.
export async function run(checks, clients) {
  for (const [name, check] of Object.entries(checks)) {
    const client = Object.keys(clients).find(client => name.startsWith(client + " "))
    const called = `${clients[client]}, Node ${process.versions.node}: ${name.slice(client.length + 1)}`
    let problem = null
    try {
      await Promise.race([check(process.argv[2]), sleep(15000).then(() => { throw new Error("no end after 15 s") })])
    } catch (error) {
      problem = String(error.stack ?? error).split("\n").slice(0, 6).join("\n")
    }
    console.log(JSON.stringify({ check: called, problem }))
  }
  process.exit(0)
}
