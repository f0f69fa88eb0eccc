// A decoder under test in Rust, without crates: rustc -O decoder.rs && ./decoder
use std::io::{stdin, BufRead};

fn main() {
    for line in stdin().lock().lines().map_while(Result::ok) {
        let id = line.split("\"id\":").nth(1).and_then(|s| s.split('"').nth(1)).unwrap_or("");
        let chunks = line.split("\"chunks\":").nth(1).unwrap_or("");
        let hex: Vec<u8> = chunks.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let stream: Vec<u8> = hex.chunks_exact(2).map(byte).collect();
        println!("{{\"id\":\"{id}\",\"events\":[{}],\"retry\":null}}", decode(&String::from_utf8_lossy(&stream)));
    }
}

fn decode(stream: &str) -> String {
    let (mut events, mut data) = (Vec::new(), Vec::new());
    for line in stream.split_terminator('\n').map(|line| line.trim_end_matches('\r')) {
        if let Some(value) = line.strip_prefix("data:") {
            data.push(value.strip_prefix(' ').unwrap_or(value));
        } else if line.is_empty() && !data.is_empty() {
            events.push(format!("{{\"data\":\"{}\"}}", escaped(&data.join("\n"))));
            data.clear();
        }
    }
    events.join(",")
}

fn escaped(text: &str) -> String {
    text.chars().map(|c| if c < ' ' || c == '"' || c == '\\' { format!("\\u{:04x}", c as u32) } else { c.into() }).collect()
}
