//! Server-Sent Events, as the WHATWG's HTML standard ("Event stream interpretation") has them.

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The last `id:` so far; empty where there was none.
    pub(crate) id: String,
    /// The event's name; empty for a plain message.
    pub(crate) event: String,
    /// The `data:` lines, joined by line feeds.
    pub(crate) data: String,
}

/// Takes a stream apart, whatever pieces its bytes come in. What follows the last empty line is never given out.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// Bytes of the line that is not over yet.
    line: Vec<u8>,
    /// Whether the last byte was a carriage return: a line feed after it is part of the same ending.
    carriage_return: bool,
    /// Whether a first line has been read: a byte order mark may stand before it.
    begun: bool,
    /// The last `id:` line.
    id: String,
    /// The last one whose block is over.
    last_id: String,
    event: String,
    data: Option<String>,
}

impl Parser {
    /// What `Last-Event-ID` is to say after a break; empty for nothing. A block without data can set it too.
    pub(crate) fn last_id(&self) -> &str {
        &self.last_id
    }

    /// The events that `bytes` completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.carriage_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => messages.extend(self.end_of_line()),
                _ => self.line.push(byte),
            }
        }
        messages
    }

    fn end_of_line(&mut self) -> Option<Message> {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        let text = if self.begun { &*text } else { text.trim_start_matches('\u{feff}') };
        self.begun = true;
        if text.is_empty() {
            return self.end_of_message();
        }
        // A line that begins with a colon is a comment: a sign of life.
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
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            _ => {}
        }
        None
    }

    fn end_of_message(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        self.id.clone_into(&mut self.last_id);
        self.data.take().map(|data| Message { id: self.id.clone(), event, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(stream: &str) -> Vec<Message> {
        Parser::default().push(stream.as_bytes())
    }

    fn message(id: &str, event: &str, data: &str) -> Message {
        Message { id: id.into(), event: event.into(), data: data.into() }
    }

    #[test]
    fn reads_the_standards_own_examples() {
        assert_eq!(parse("data: YHOO\ndata: +2\ndata: 10\n\n"), [message("", "", "YHOO\n+2\n10")]);
        assert_eq!(
            parse(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"),
            [message("1", "", "first event"), message("", "", "second event")]
        );
        assert_eq!(parse("data\n\ndata\ndata\n\ndata:"), [message("", "", ""), message("", "", "\n")]);
        assert_eq!(parse("data:test\n\ndata: test\n\n"), [message("", "", "test"), message("", "", "test")]);
    }

    #[test]
    fn the_id_stays_until_another_comes_and_the_name_does_not() {
        assert_eq!(
            parse("id: 7\nevent: end\ndata: a\n\ndata: b\n\nretry: 10\nunknown: x\n\nid: a\0b\ndata: c\n\n"),
            [message("7", "end", "a"), message("7", "", "b"), message("7", "", "c")]
        );
    }

    #[test]
    fn where_to_go_on_is_known_once_a_block_is_over() {
        let mut parser = Parser::default();
        parser.push(b"id: 7\n");
        assert_eq!(parser.last_id(), "");
        assert!(parser.push(b"\n").is_empty());
        assert_eq!(parser.last_id(), "7");
        parser.push(b"id: 8\ndata: half an event\n");
        assert_eq!(parser.last_id(), "7");
    }

    #[test]
    fn all_three_line_endings_end_a_line() {
        assert_eq!(parse("\u{feff}data: a\r\n\r\ndata: b\r\rdata: c\n\n").len(), 3);
        assert_eq!(parse("data: a\r\ndata: b\r\n\r\n"), [message("", "", "a\nb")]);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_split(
            lines in prop::collection::vec("(data|id|event|:|x)(: ?[aé€\u{1F512}]{0,3})?(\r\n|\r|\n){1,2}", 0..20),
            cuts in prop::collection::vec(1_usize..6, 1..20),
        ) {
            let stream = lines.concat();
            let (mut parser, mut messages, mut rest) = (Parser::default(), Vec::new(), stream.as_bytes());
            for cut in cuts.into_iter().cycle() {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                messages.extend(parser.push(piece));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(messages, parse(&stream));
        }
    }
}
