package journal

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Filter says which entries are wanted. The zero value wants all.
type Filter struct {
	Since, Until time.Time      // zero for no bound
	Priorities   *Priorities    // nil for all
	Grep         *regexp.Regexp // nil for all
	Errors       bool           // only entries that IsError holds for
}

// Match reports whether an entry is wanted.
func (f *Filter) Match(e *Entry) bool {
	switch {
	case !f.Since.IsZero() && e.Time.Before(f.Since), !f.Until.IsZero() && e.Time.After(f.Until):
		return false
	case f.Priorities != nil && (e.Priority < f.Priorities.From || e.Priority > f.Priorities.To):
		return false
	case f.Errors && !IsError(e.Priority, e.Message):
		return false
	}
	return f.Grep == nil || f.Grep.MatchString(e.Message)
}

// IsError reports whether an entry is an error: by its priority, or by the words error, fatal or
// panic in its message, as most programs that log to their output set no priority.
func IsError(priority int, message string) bool {
	if priority <= Error {
		return true
	}
	const letters = len("error") // of each of the words
	for i := 0; i+letters <= len(message); i++ {
		switch word := message[i : i+letters]; word[0] | 0x20 {
		case 'e':
			if strings.EqualFold(word, "error") {
				return true
			}
		case 'f':
			if strings.EqualFold(word, "fatal") {
				return true
			}
		case 'p':
			if strings.EqualFold(word, "panic") {
				return true
			}
		}
	}
	return false
}

// Priorities is a range of priorities, both ends included.
type Priorities struct{ From, To int }

var priorityNames = []string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}

// PriorityNames returns syslog's names of the priorities, most urgent first.
func PriorityNames() []string { return slices.Clone(priorityNames) }

// PriorityName is syslog's name of a priority; empty if there is no such priority.
func PriorityName(p int) string {
	if p < Emergency || p > Debug {
		return ""
	}
	return priorityNames[p]
}

// ParsePriorities reads a level by name or number, which stands for itself and
// all that is more urgent, or a range FROM..TO. "" is nil: all.
func ParsePriorities(text string) (*Priorities, error) {
	if text == "" {
		return nil, nil
	}
	from, to, isRange := strings.Cut(text, "..")
	if !isRange {
		p, err := parsePriority(text)
		return &Priorities{Emergency, p}, err
	}
	a, err := parsePriority(from)
	if err != nil {
		return nil, err
	}
	b, err := parsePriority(to)
	return &Priorities{min(a, b), max(a, b)}, err
}

func parsePriority(text string) (int, error) {
	alias := map[string]string{"panic": "emerg", "error": "err", "warn": "warning"}
	name := strings.ToLower(text)
	if a, ok := alias[name]; ok {
		name = a
	}
	if i := slices.Index(priorityNames, name); i >= 0 {
		return i, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n >= Emergency && n <= Debug {
		return n, nil
	}
	return 0, fmt.Errorf("unknown priority %q: choose %s, a number from 0 to 7, or a range such as err..notice", text,
		strings.Join(priorityNames, ", "))
}

// ParseGrep compiles what messages are to match. As with journalctl, case
// counts only if the pattern has an upper-case letter.
func ParseGrep(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	flags := "(?i)"
	if strings.ToLower(pattern) != pattern {
		flags = ""
	}
	re, err := regexp.Compile(flags + pattern)
	if err != nil {
		return nil, fmt.Errorf("the pattern %q can't be read: %w: write it in the syntax of RE2, "+
			"and \\ before what is meant literally", pattern, err)
	}
	return re, nil
}
