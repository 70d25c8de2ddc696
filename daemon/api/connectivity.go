package api

import (
	"slices"
	"time"

	"fleettop/cluster"
)

// Connectivity is the reply to GET /v1/connectivity: what each machine sees of
// each other one at this moment, by its own word.
type Connectivity struct {
	Asked     string        `json:"asked"`          // ID of the machine that asked the others
	Machines  []MachineRef  `json:"machines"`       // those that were asked, by name
	More      int           `json:"more,omitempty"` // machines that were not, as there are too many
	Took      float64       `json:"took"`           // seconds
	Views     []Connections `json:"views"`          // one for each of Machines, in that order
	Sentences []string      `json:"sentences"`      // what is wrong, or that nothing is
}

// Connections is what one machine sees of the others and of the store.
type Connections struct {
	Machine string `json:"machine"`
	// Error is why nothing is known of what it sees; then nothing else is set.
	Error string `json:"error,omitempty"`
	// Store is Answered where the store answered a read of this machine, and StoreTook the seconds
	// until it did, or until it was given up.
	Store     string  `json:"store,omitempty"`
	StoreTook float64 `json:"storeTook,omitempty"`
	// StateAge is for how many seconds its copy of the state hasn't been current; 0 while it is.
	StateAge float64   `json:"stateAge,omitempty"`
	Contacts []Contact `json:"contacts,omitempty"` // in the order of Connectivity.Machines, without itself
}

// What came of an attempt to reach a machine or the store.
const (
	Answered = "answered"
	Silent   = "silent" // nothing came in time
	Refused  = "refused"
	NotTried = "" // no address is known
)

// Contact is what one machine sees of another one.
type Contact struct {
	Machine string `json:"machine"`
	// Gossip is the other one's state in this one's gossip: alive, suspect, failed or left; empty where it
	// isn't a member. GossipAge is how many seconds ago its last sign of life was.
	Gossip    string  `json:"gossip,omitempty"`
	GossipAge float64 `json:"gossipAge,omitempty"`
	// Probe is what a probe found now: answered; reached or hung where the machine's kernel answers and its
	// daemon doesn't; refused, silent, or empty where it could not be made. ProbeTook is in seconds.
	Probe     string  `json:"probe,omitempty"`
	ProbeTook float64 `json:"probeTook,omitempty"`
	// Session reports whether the store, as this machine knows it, has a session of the other one's
	// daemon; SessionAge is how many seconds ago that began, by the clock of the other one.
	Session    bool    `json:"session"`
	SessionAge float64 `json:"sessionAge,omitempty"`
	// API is what came of a request to the other one's API, and APIError why it failed.
	API      string  `json:"api,omitempty"`
	APITook  float64 `json:"apiTook,omitempty"`
	APIError string  `json:"apiError,omitempty"`
}

// ConnectionsMost is how many machines are asked for one Connectivity.
const ConnectionsMost = 48

// GossipAlive is the state of a member that gossip doesn't doubt.
const GossipAlive = "alive"

// Hears reports whether gossip holds the other machine to be alive.
func (c *Contact) Hears() bool { return c.Gossip == GossipAlive }

// Reaches reports whether the other machine's daemon answered in any way.
func (c *Contact) Reaches() bool { return c.Probe == Answered || c.API == Answered }

// Well reports whether nothing is wrong.
func (c *Contact) Well() bool {
	return c.Hears() && c.Probe == Answered && c.API == Answered && c.Session
}

// Letters says what works, a letter each: Gossip, Probe, Session, API; a hyphen stands for what doesn't.
func (c *Contact) Letters() string {
	letters := []byte("----")
	for i, works := range []bool{c.Hears(), c.Probe == Answered, c.Session, c.API == Answered} {
		if works {
			letters[i] = "GPSA"[i]
		}
	}
	return string(letters)
}

// Of returns what the machine sees of another one, or nil.
func (v *Connections) Of(id string) *Contact {
	i := slices.IndexFunc(v.Contacts, func(c Contact) bool { return c.Machine == id })
	if i < 0 {
		return nil
	}
	return &v.Contacts[i]
}

// Label is a machine's name, or the beginning of its ID.
func (m MachineRef) Label() string { return cluster.Machine{ID: m.ID, Name: m.Name}.Label() }

// Seconds is a time span as the API has it.
func Seconds(d time.Duration) float64 { return d.Seconds() }

// Span is what Seconds was made of.
func Span(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
