package membership

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// logTap receives the log of serf and memberlist. It passes lines on to slog,
// sparingly, and finds in them three facts that memberlist doesn't report
// otherwise: that a packet of ours had no answer in time, that a probe failed in
// every way and a member is under suspicion, and that one got through by TCP only.
type logTap struct {
	log        *slog.Logger
	unanswered func(id string) // must not block: it runs inside memberlist
	suspected  func(id string) // the same
	overTCP    func(id string) // the same
	refused    func(source, why string)

	mu   sync.Mutex           // guards last
	last map[string]time.Time // when a kind of line was last passed on
}

// A kind of line is passed on at most this often; a machine that stays away
// would otherwise fill the log with failed reconnects.
const logEvery = 30 * time.Second

const (
	pingPrefix    = "memberlist: Failed UDP ping: "
	pingSuffix    = " (timeout reached)"
	suspectPrefix = "memberlist: Suspect "
	suspectSuffix = " has failed, no acks received"
	overTCPPrefix = "memberlist: Was able to connect to "
	overTCPSuffix = " over TCP but UDP probes failed, network may be misconfigured"
)

// Write takes one line of log.Logger's.
func (t *logTap) Write(line []byte) (int, error) {
	level, text := parseLine(line)
	if id, ok := between(text, pingPrefix, pingSuffix); ok {
		t.unanswered(id)
	}
	if id, ok := between(text, suspectPrefix, suspectSuffix); ok {
		t.suspected(id)
	}
	if id, ok := between(text, overTCPPrefix, overTCPSuffix); ok {
		t.overTCP(id)
		return len(line), nil // it is shown with the machine's health
	}
	if source, why, ok := refusalOf(string(text)); ok && t.refused != nil {
		t.refused(source, why)
		return len(line), nil
	}
	if t.log.Enabled(context.Background(), level) && t.due(level, string(text), time.Now()) {
		t.log.Log(context.Background(), level, "gossip: "+string(text))
	}
	return len(line), nil
}

// parseLine splits off the level. Theirs are one too high for us: an
// unreachable peer is an [ERR] there and everyday life here.
func parseLine(line []byte) (slog.Level, []byte) {
	line = bytes.TrimRight(line, "\n")
	if len(line) == 0 || line[0] != '[' {
		return slog.LevelDebug, line
	}
	name, text, _ := bytes.Cut(line[1:], []byte("] "))
	switch string(name) {
	case "ERR":
		return slog.LevelWarn, text
	case "WARN":
		return slog.LevelInfo, text
	}
	return slog.LevelDebug, text
}

// between returns what a line has between a prefix and a suffix.
func between(text []byte, prefix, suffix string) (string, bool) {
	rest, ok := bytes.CutPrefix(text, []byte(prefix))
	if !ok {
		return "", false
	}
	id, ok := bytes.CutSuffix(rest, []byte(suffix))
	return string(id), ok
}

// refusalOf returns who was refused, and why, if a line is about a sender who
// doesn't have our key.
func refusalOf(text string) (source, why string, ok bool) {
	text, source, found := strings.Cut(text, " from=")
	if !found {
		return "", "", false
	}
	switch {
	case strings.Contains(text, "not encrypted"):
		return source, "it speaks in clear", true
	case strings.Contains(text, "could decrypt"), strings.HasPrefix(text, "memberlist: Decrypt packet failed"):
		return source, "its cluster key is not one of ours", true
	}
	return "", "", false
}

// due limits lines above debug, by their first four words.
func (t *logTap) due(level slog.Level, text string, now time.Time) bool {
	if level < slog.LevelInfo {
		return true
	}
	words := strings.SplitN(text, " ", 5)
	kind := strings.Join(words[:min(len(words), 4)], " ")
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, ok := t.last[kind]; ok && now.Sub(at) < logEvery {
		return false
	}
	if len(t.last) >= 256 { // words of four can carry addresses; don't collect them for ever
		clear(t.last)
	}
	t.last[kind] = now
	return true
}
