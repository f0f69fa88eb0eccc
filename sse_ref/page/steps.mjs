// The path: twelve steps and the panel, one idea and one control each, in the order of the subject.
//
// A step either has `given`: a text and how it is cut, which needs no server; or its scenes stand in scenes.mjs, under its id
// and the value of its control.

const sizes = [["7", "7 bytes"], ["1", "1 byte"], ["3", "3 bytes"], ["16", "16 bytes"], ["0", "all at once"]]

// The bytes of a text in reads of a size; 0 for one read.
function inReadsOf(text, size) {
  const bytes = new TextEncoder().encode(text)
  const step = Number(size) || bytes.length
  return Array.from({ length: Math.ceil(bytes.length / step) }, (_, i) => bytes.slice(i * step, (i + 1) * step))
}

const perLine = text => text.split(/(?<=\n)/).map(line => new TextEncoder().encode(line))

const TWO_EVENTS = "data: A read\n\ndata:  is not\n\ndata:  an event.\n\n"
const FIELDS = "event: greeting\nid: 7\nretry: 3000\ndata: Hello\ncolour: blue\n\ndata: , reader\n\n"

export const STEPS = [
  {
    id: "reads", title: "A read is not an event",
    idea: "Bytes come in reads that end anywhere; an event is there when its blank line is there.",
    control: { label: "A read has", options: sizes },
    tries: "Choose another size: the words stay the same.",
    question: "How many events come in the first read, if all comes at once?",
    answer: "Three. A program that takes a read for an event shows one word too few, or half a word.",
    given: size => inReadsOf(TWO_EVENTS, size),
  },
  {
    id: "lines", title: "Lines and fields",
    idea: "A line is a field: a name, a colon, perhaps one space, a value. Four names mean something.",
    control: { label: "Lines end with", options: [["\n", "LF"], ["\r\n", "CRLF"], ["\r", "CR"]] },
    tries: "Step by read, and watch which buffer of the decoder each line fills.",
    question: "What becomes of the field \"colour\"?",
    answer: "Nothing: an unknown name is ignored. That is how the format can grow.",
    given: end => FIELDS.split("\n").slice(0, -1).map(line => new TextEncoder().encode(line + end)),
  },
  {
    id: "blank", title: "The blank line dispatches",
    idea: "Lines of data are collected, and only a blank line makes an event of them.",
    control: { label: "The last blank line", options: [["yes", "comes"], ["no", "never comes"]] },
    tries: "Let it never come, and look at the data buffer at the end.",
    question: "Is an event whose blank line never came half an event, or none?",
    answer: "None: what is in the buffers when the stream ends is thrown away.",
    given: last => perLine(`data: Two lines\ndata: of data\n\ndata: are one event.\n${last === "yes" ? "\n" : ""}`),
  },
  {
    id: "character", title: "A character cut in two",
    idea: "A character may have four bytes, and a read may end between them.",
    control: { label: "A read has", options: [["9", "9 bytes"], ["8", "8 bytes"], ["1", "1 byte"], ["0", "all at once"]] },
    tries: "Look for the row that says that the read ended inside a character.",
    question: "What would a program show that makes text of each read by itself?",
    answer: "Two or more \uFFFD in place of one character. The lab shows it.",
    given: size => inReadsOf("data: a 🦊 runs\n\ndata:  to the caf\u00e9\n\n", size),
  },
  {
    id: "deltas", title: "Deltas, finish reason, usage, [DONE]",
    idea: "Each event of a chat completion is JSON that brings a piece of the answer, and only a little of it is new.",
    control: { label: "The answer", options: [["stop", "may end by itself"], ["length", "may have 3 tokens"]] },
    tries: "Open a folded mark ⋯ to see what is the same in every chunk.",
    question: "Which chunk says why the answer ended, and what comes after it?",
    answer: "The one whose finish_reason is not null; then the usage, in a chunk without choices, and [DONE].",
  },
  {
    id: "silence", title: "Comments and silence",
    idea: "A model that thinks sends nothing; comments say that the connection lives.",
    control: { label: "While the model thinks", options: [["heartbeats", "a comment each second"], ["none", "silence"]] },
    tries: "Choose silence, and ask yourself after three seconds whether it is still there.",
    question: "Does a comment reach the application?",
    answer: "No: the decoder ignores it. It is for what lies between, proxies and timeouts.",
  },
  {
    id: "stop", title: "Stop, and what it saves",
    idea: "Who has read enough closes the connection, and the server stops generating.",
    control: null, stops: true,
    tries: "Press Stop after a few words.",
    question: "Does the server notice at once?",
    answer: "With its next write, or when its system tells it: the answer below says at which token.",
    needsServer: "Stopping needs a server that notices.",
  },
  {
    id: "errors", title: "Errors, before and inside",
    idea: "Before the stream an error is a status; inside the stream the status is 200 already.",
    control: { label: "The error comes", options: [["inside", "inside the stream"], ["before", "before the stream"]] },
    tries: "Compare the first row of both.",
    question: "How can a client know of the error inside?",
    answer: "By an event whose JSON has a member error. What came before it is kept.",
  },
  {
    id: "ends", title: "Cut, end, stall: who can know",
    idea: "A stream that stops may be cut, ended too early, or only silent: three things that look alike.",
    control: { label: "After six tokens", options: [["cut", "the connection breaks"], ["end", "the body ends"], ["stall", "nothing comes any more"]] },
    tries: "Try all three, and read the last row.",
    question: "Which of them can the decoder tell?",
    answer: "None by itself: HTTP tells the cut, the missing finish reason tells the end, and only a timeout tells the stall.",
  },
  {
    id: "resume", title: "Resume",
    idea: "Each event has an id; after a loss the client asks again with the last one, and the server goes on behind it.",
    control: null,
    tries: "Watch the last event ID, and the request after the connection ended.",
    question: "Which words come twice?",
    answer: "None: the server goes on behind the last event ID.",
  },
  {
    id: "both", title: "Both ways, side by side",
    idea: "Streamed or whole, the answer is ready at the same time; but one of them can be read from the first word.",
    control: null, beside: true,
    tries: "Look at the clock of both while they run.",
    question: "How much sooner does the reader begin?",
    answer: "By all of the time that the answer takes after its first token.",
  },
  {
    id: "wires", title: "Another provider's wire",
    idea: "Five providers say the same with five sets of events; the stream below them is one.",
    control: { label: "Wire", options: [["openai", "OpenAI, chat completions"], ["anthropic", "Anthropic, Messages"], ["openai-responses", "OpenAI, Responses"], ["gemini", "Gemini"], ["cohere", "Cohere, v2"]] },
    tries: "Choose another one: the text stays, the rows change.",
    question: "Which of them name their events, and which end with [DONE]?",
    answer: "Anthropic, Responses and Cohere name them. Chat completions end with [DONE], and so does Cohere; Gemini just ends.",
  },
]
