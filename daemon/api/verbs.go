package api

// Verb is what can be done to a unit.
type Verb string

// Verbs, in fleet's words. None but Stop, Unload and Destroy lowers a unit's
// desired state.
const (
	Submit  Verb = "submit"  // make the file known
	Load    Verb = "load"    // at least loaded
	Start   Verb = "start"   // launched
	Stop    Verb = "stop"    // launched becomes loaded
	Unload  Verb = "unload"  // inactive
	Restart Verb = "restart" // launched, and stopped before if it runs
	Destroy Verb = "destroy" // forget it
	Release Verb = "release" // give it to the hosts of its machines, running on, and forget it
)

// Verbs lists all verbs.
func Verbs() []Verb { return []Verb{Submit, Load, Start, Stop, Unload, Restart, Destroy, Release} }
