package api

// RebalanceMove is a unit that a rebalance moves, and why.
type RebalanceMove struct {
	Unit     string `json:"unit"`
	From     string `json:"from"` // machine ID
	FromName string `json:"fromName"`
	To       string `json:"to"` // machine ID
	ToName   string `json:"toName"`
	Reason   string `json:"reason"` // "n1 has 9 units, n3 has 2"
	Epoch    int64  `json:"epoch"`  // of the assignment that it was planned on
}

// RebalancePlan is the reply to GET /v1/rebalance.
type RebalancePlan struct {
	Revision int64           `json:"revision"`
	Store    Store           `json:"store"`
	Moves    []RebalanceMove `json:"moves"`             // in the order in which they would be made
	Pending  []RebalanceMove `json:"pending,omitempty"` // of one that goes on; then Moves is empty
}

// RebalanceRequest is the body of POST /v1/rebalance: moves of a plan, to be
// made at a pace, or none, to wait for those of one that goes on.
type RebalanceRequest struct {
	Moves    []RebalanceMove `json:"moves,omitempty"`
	Parallel int             `json:"parallel,omitempty"` // how many units move at a time; 0 is 1
	Cancel   bool            `json:"cancel,omitempty"`   // take back what hasn't begun to move
	Wait     bool            `json:"wait,omitempty"`     // hold the answer back until all has come to an end
}

// RebalanceReply is the reply to a RebalanceRequest.
type RebalanceReply struct {
	Revision int64  `json:"revision"`
	Moved    *Moved `json:"moved,omitempty"` // where it was waited for
}
