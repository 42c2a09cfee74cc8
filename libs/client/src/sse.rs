//! A parser of Server-Sent Events (WHATWG HTML standard, "Interpreting an event stream").

/// The largest message, in bytes. It has room for an event of the largest payload and metadata, in any spelling of JSON.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// A message is longer than [`MAX_MESSAGE_BYTES`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message is longer than {MAX_MESSAGE_BYTES} bytes")]
pub(crate) struct TooLong;

/// A message of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The value of the last `id:` line of the stream, empty if there was no such line.
    pub(crate) id: String,
    /// The values of the `data:` lines, joined by line feeds.
    pub(crate) data: String,
}

/// Parses a stream that arrives in pieces of any size. A message is complete at the empty line after it.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The bytes of the incomplete line.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return. A line feed after it belongs to the same line ending.
    after_carriage_return: bool,
    /// Whether the first line has been read, which may begin with a byte order mark.
    started: bool,
    /// The value of the last `id:` line.
    id: String,
    /// The value of the last `id:` line of a complete block.
    last_id: String,
    data: Option<String>,
}

impl Parser {
    /// The value of `Last-Event-ID` for a reconnect, empty if there was no such line. Blocks without data can set it
    /// too.
    pub(crate) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// Returns the messages that `bytes` completes. After an error the stream cannot be continued.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLong> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let after_carriage_return = std::mem::replace(&mut self.after_carriage_return, byte == b'\r');
            match byte {
                b'\n' if after_carriage_return => {}
                b'\n' | b'\r' => messages.extend(self.end_line()),
                _ if self.line.len() + self.data.as_ref().map_or(0, String::len) >= MAX_MESSAGE_BYTES => {
                    return Err(TooLong);
                }
                _ => self.line.push(byte),
            }
        }
        Ok(messages)
    }

    fn end_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = if self.started { &*text } else { text.trim_start_matches('\u{feff}') };
        self.started = true;
        if text.is_empty() {
            return self.end_block();
        }
        // A line that begins with a colon is a comment, such as a heartbeat. Its field name is empty.
        let (field, value) = text.split_once(':').unwrap_or((text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            _ => {}
        }
        None
    }

    fn end_block(&mut self) -> Option<Message> {
        self.id.clone_into(&mut self.last_id);
        self.data.take().map(|data| Message { id: self.id.clone(), data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(stream: &str) -> Vec<Message> {
        Parser::default().push(stream.as_bytes()).expect("short messages")
    }

    fn message(id: &str, data: &str) -> Message {
        Message { id: id.into(), data: data.into() }
    }

    #[test]
    fn the_examples_of_the_standard_are_parsed() {
        assert_eq!(parse("data: YHOO\ndata: +2\ndata: 10\n\n"), [message("", "YHOO\n+2\n10")]);
        assert_eq!(
            parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"),
            [message("1", "first event"), message("", "second event")]
        );
        assert_eq!(parse("data\n\ndata\ndata\n\ndata:"), [message("", ""), message("", "\n")]);
        assert_eq!(parse("data:test\n\ndata: test\n\n"), [message("", "test"), message("", "test")]);
    }

    #[test]
    fn the_id_applies_to_later_messages_and_other_fields_are_ignored() {
        assert_eq!(
            parse("id: 7\nevent: end\ndata: a\n\ndata: b\n\nretry: 10\nunknown: x\n\nid: a\0b\ndata: c\n\n"),
            [message("7", "a"), message("7", "b"), message("7", "c")]
        );
    }

    #[test]
    fn the_last_id_is_that_of_a_complete_block() {
        let mut parser = Parser::default();
        parser.push(b"id: 7\n").expect("short");
        assert_eq!(parser.last_id(), "");
        assert_eq!(parser.push(b"\n"), Ok(vec![]));
        assert_eq!(parser.last_id(), "7");
        parser.push(b"id: 8\ndata: half an event\n").expect("short");
        assert_eq!(parser.last_id(), "7");
    }

    #[test]
    fn lf_cr_and_crlf_end_a_line() {
        assert_eq!(parse("\u{feff}data: a\r\n\r\ndata: b\r\rdata: c\n\n").len(), 3);
        assert_eq!(parse("data: a\r\ndata: b\r\n\r\n"), [message("", "a\nb")]);
    }

    /// Each kind of line is bounded: a field, a comment, and data of many lines, empty ones too.
    #[test]
    fn a_message_that_is_too_long_is_refused() {
        for line in ["data: ", "id: ", ": comment", ""] {
            let long = format!("{line}{}", "x".repeat(MAX_MESSAGE_BYTES + 1));
            assert_eq!(Parser::default().push(long.as_bytes()), Err(TooLong), "{line}");
        }
        for line in ["data: 12345678\n", "data\n"] {
            let mut parser = Parser::default();
            let pushed = (0..=MAX_MESSAGE_BYTES).map(|_| parser.push(line.as_bytes())).find(Result::is_err);
            assert_eq!(pushed, Some(Err(TooLong)), "{line}");
        }
        let data = "x".repeat(MAX_MESSAGE_BYTES - "data: ".len());
        assert_eq!(parse(&format!("data: {data}\n\n")), [message("", &data)]);
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_where_the_bytes_are_split(
            lines in prop::collection::vec("(data|id|event|:|x)(: ?[aé€\u{1F512}]{0,3})?(\r\n|\r|\n){1,2}", 0..20),
            cuts in prop::collection::vec(1_usize..6, 1..20),
        ) {
            let stream = lines.concat();
            let (mut parser, mut messages, mut rest) = (Parser::default(), Vec::new(), stream.as_bytes());
            for cut in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                messages.extend(parser.push(piece).expect("short messages"));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(messages, parse(&stream));
        }
    }
}
