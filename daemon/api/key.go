package api

import "time"

// KeyInfo is one key of the cluster, by its ID.
type KeyInfo struct {
	ID      string `json:"id"`
	Primary bool   `json:"primary"` // it is the one in use
	Newest  bool   `json:"newest"`  // it came last
}

// KeyHolder is a machine and the keys it works with.
type KeyHolder struct {
	Machine string   `json:"machine"`
	Name    string   `json:"name"`
	Live    bool     `json:"live"`
	Keys    []string `json:"keys"` // IDs, the one in use first
}

// KeyList is what there is to know of the keys, without the keys.
type KeyList struct {
	Keys     []KeyInfo   `json:"keys"`
	Phase    string      `json:"phase,omitempty"`   // spreading, retiring, or empty
	Since    time.Time   `json:"since,omitzero"`    // when the rotation began
	Waiting  []string    `json:"waiting,omitempty"` // names of machines that don't work with just these keys
	Text     string      `json:"text,omitempty"`    // what was just done
	Machines []KeyHolder `json:"machines"`
}

// JoinToken lets one machine join. It is secret until used.
type JoinToken struct {
	Token     string    `json:"token"`
	Addresses []string  `json:"addresses"` // of the API of machines that take it
	Expires   time.Time `json:"expires"`
	User      bool      `json:"user,omitempty"` // the cluster's daemons are an ordinary user's
}
