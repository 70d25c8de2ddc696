package api

// LinesType is the media type of a stream of lines.
const LinesType = "application/x-ndjson"

// Progress is how far an act has come.
type Progress struct {
	Done  int    `json:"done"`
	Total int    `json:"total"`
	Text  string `json:"text,omitempty"` // what it waits for, for people
}

// LongLine is a line of the answer to a long act. The last one has a reply or an error.
type LongLine struct {
	Progress *Progress `json:"progress,omitempty"`
	Reply    any       `json:"reply,omitempty"`
	Error    *Error    `json:"error,omitempty"`
}
