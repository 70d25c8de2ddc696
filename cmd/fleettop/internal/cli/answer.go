package cli

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// With -o json a verb prints one value: an array where it can be told of several
// things, also of one or none, and else an object. Where all of it failed, that is
// {"error": {"code", "message", "hint"}}; what failed of several has its error in its
// own element. What goes on (events -f, journal) prints a value a line.
//
// One thing has one name in all of them: "unit" is a unit's name, "machine" a
// machine's ID and "machineName" its name, "error" always an object.

// Codes of failures that no daemon decided; the others are the API's.
const (
	codeUsage       api.Code = "usage"       // the command line is wrong
	codeUnreachable api.Code = "unreachable" // no daemon answers
	codeTimeout     api.Code = "timeout"     // it didn't answer in time
	codeInterrupted api.Code = "interrupted" // by a signal
	codeFailed      api.Code = "failed"
)

// failureOf is an error as programs get it.
func failureOf(err error, cmd *cobra.Command) *api.Error {
	var refused *api.Error
	var away *client.UnreachableError
	var slow *client.SlowError
	var usage usageError
	switch {
	case errors.As(err, &usage):
		e := &api.Error{Code: codeUsage, Message: err.Error()}
		if cmd != nil {
			e.Hint = "see `" + cmd.CommandPath() + " --help`"
		}
		return e
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &away):
		return &api.Error{Code: codeUnreachable, Message: away.Sentence(), Hint: away.Advice}
	case errors.As(err, &slow):
		return &api.Error{Code: codeTimeout, Message: slow.Sentence(), Hint: slow.Advice()}
	case errors.Is(err, context.Canceled):
		return &api.Error{Code: codeInterrupted, Message: "interrupted before it was done",
			Hint: "what the cluster was told to do goes on; `fleettop list-units` shows how units stand"}
	}
	return &api.Error{Code: codeFailed, Message: err.Error()}
}

// failureText is a failure told in lines of text: the first says what is wrong, the others what to do.
func failureText(code api.Code, text string) *api.Error {
	message, hint, _ := strings.Cut(text, "\n")
	return &api.Error{Code: code, Message: message, Hint: hint}
}

// failed is an element of a list for what could not be told of.
type failedUnit struct {
	Unit  string     `json:"unit"`
	Error *api.Error `json:"error"`
}

type failedMachine struct {
	Machine string     `json:"machine"` // as it was named
	Error   *api.Error `json:"error"`
}

// stale is part of an element of a list that is not current; it is nil where the store answers.
func stale(st api.Store) *api.Store {
	if st.Connected {
		return nil
	}
	return &st
}

var (
	shortOutput = regexp.MustCompile(`^-[A-Za-z]*?o=?(.*)$`)
	longOutput  = regexp.MustCompile(`^--output(=(.*))?$`)
)

// wantsJSON reports whether a command line asks for JSON, also one that can't be read otherwise.
func wantsJSON(args []string) bool {
	for i, arg := range args {
		next := ""
		if i+1 < len(args) {
			next = args[i+1]
		}
		switch {
		case arg == "--":
			return false
		case longOutput.MatchString(arg):
			if m := longOutput.FindStringSubmatch(arg); m[2] == "json" || m[1] == "" && next == "json" {
				return true
			}
		case shortOutput.MatchString(arg):
			if m := shortOutput.FindStringSubmatch(arg); m[1] == "json" || m[1] == "" && next == "json" {
				return true
			}
		}
	}
	return false
}

// unitStatus is what `status` says of a unit.
type unitStatus struct {
	Unit         string      `json:"unit"`
	Description  string      `json:"description,omitempty"`
	Hash         string      `json:"hash"`
	FromTemplate bool        `json:"fromTemplate,omitempty"`
	TemplateHash string      `json:"templateHash,omitempty"`   // of its template's content, where it keeps an earlier one
	Behind       int64       `json:"templateBehind,omitempty"` // by so many versions
	Desired      string      `json:"desired"`
	State        string      `json:"state"`
	Global       bool        `json:"global,omitempty"`
	Once         bool        `json:"once,omitempty"` // it runs, ends and is done
	Generation   int64       `json:"generation"`
	By           string      `json:"by,omitempty"`
	At           time.Time   `json:"at"`
	Reason       string      `json:"reason,omitempty"` // why no machine can take it
	Placements   []placement `json:"placements"`
	Store        *api.Store  `json:"store,omitempty"` // where this is not current
}

// placement is a unit on one machine.
type placement struct {
	Machine     string     `json:"machine"`
	MachineName string     `json:"machineName,omitempty"`
	Address     string     `json:"address,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Placed      time.Time  `json:"placed,omitzero"`
	Leaving     bool       `json:"leaving,omitempty"`
	Held        string     `json:"held,omitempty"`
	Lost        string     `json:"lost,omitempty"`    // the machine's state, where the others are the last known
	Running     string     `json:"running,omitempty"` // hash of the file that the machine has, where that is another
	Load        string     `json:"load,omitempty"`
	Active      string     `json:"active,omitempty"`
	Sub         string     `json:"sub,omitempty"`
	Since       time.Time  `json:"since,omitzero"` // in that active state
	Result      string     `json:"result,omitempty"`
	PID         int        `json:"pid,omitempty"`
	Restarts    int        `json:"restarts,omitempty"`
	Error       *api.Error `json:"error,omitempty"`
}

func newUnitStatus(u *api.UnitDetail) unitStatus {
	s := unitStatus{Unit: u.Name, Description: u.Description, Hash: u.Hash,
		FromTemplate: u.FromTemplate, TemplateHash: u.TemplateHash, Behind: u.TemplateBehind,
		Desired: string(u.Desired), State: string(u.State),
		Global: u.Global, Once: u.Once, Generation: u.Generation, By: u.By, At: u.At,
		Reason: u.Unplaced, Placements: []placement{}, Store: stale(u.Store)}
	refs := refsByID(u.Machines)
	for _, p := range u.Placements {
		m := refs[p.Machine]
		one := placement{Machine: p.Machine, MachineName: m.Name, Address: m.Address,
			Leaving: p.Assignment == nil || p.Assignment.Leaving, Held: p.Held}
		if p.Assignment != nil {
			one.Reason, one.Placed = p.Assignment.Reason, p.Assignment.Since
		}
		if p.Lost != nil {
			one.Lost = string(p.Lost.State)
		}
		if st := p.Status; st != nil {
			one.Load, one.Since = st.Load, st.Since
			one.Active, one.Sub = p.Shown()
			one.Result, one.PID, one.Restarts = st.Result, st.PID, st.Restarts
			if st.Hash != u.Hash {
				one.Running = st.Hash
			}
			if st.Error != "" {
				one.Error = failureText(codeFailed, st.Error)
			}
		}
		s.Placements = append(s.Placements, one)
	}
	return s
}
