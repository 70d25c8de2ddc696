package api

// NotifyReport is what became of a test of a daemon's receivers of notices.
type NotifyReport struct {
	Receivers []NotifyResult `json:"receivers"`
}

// NotifyResult is what became of a notice to one receiver.
type NotifyResult struct {
	Receiver string  `json:"receiver"`        // its format and host
	Error    string  `json:"error,omitempty"` // why it didn't take the notice
	Seconds  float64 `json:"seconds"`         // that it took
}
