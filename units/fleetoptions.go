package units

// FleetOption is what a person reads of an option of the [X-Fleet] section.
type FleetOption struct {
	Name string
	Old  string // its name before fleet 0.8, if that was another
	// Value is what stands behind the = in a synopsis.
	Value string
	// Doc is what it means, in sentences. Words between backquotes are literal.
	Doc string
}

// FleetOptions returns all options of the [X-Fleet] section, in the order of messages.
func FleetOptions() []FleetOption {
	var all []FleetOption
	for _, o := range fleetOptions {
		all = append(all, o.FleetOption)
	}
	return all
}

// fleetOptions are all options, in the order of messages.
var fleetOptions = []fleetOption{
	{read: (*collector).machineID, FleetOption: FleetOption{optMachineID, "X-ConditionMachineID", "ID",
		"The unit runs only on the machine with this ID, or with the one ID that begins with these digits (8 or more). " +
			"`fleettop list-machines --full` shows the IDs. The first of several counts."}},
	{read: (*collector).machineOf, FleetOption: FleetOption{optMachineOf, "X-ConditionMachineOf", "UNIT...",
		"The unit runs on the machine of that unit, and moves with it."}},
	{read: (*collector).metadata, FleetOption: FleetOption{"MachineMetadata", "X-ConditionMachineMetadata", "KEY=VALUE",
		"The unit runs only on machines with this metadata, which a machine's daemon gets by `--metadata`. " +
			"Several pairs stand each in double quotes. Pairs of different keys must all match, of one key any."}},
	{read: (*collector).conflicts, FleetOption: FleetOption{optConflicts, "X-Conflicts", "UNIT|GLOB...",
		"The unit doesn't run on a machine with a unit of this name or pattern, whichever of the two was there first. " +
			"A unit doesn't conflict with itself, so `%p@*.service` in a template means one instance per machine."}},
	{read: (*collector).replaces, FleetOption: FleetOption{optReplaces, "", "UNIT|GLOB...",
		"The unit takes the place of that unit, which leaves the machine when this one comes."}},
	{flag: func(r *Requirements) *bool { return &r.Global }, FleetOption: FleetOption{optGlobal, "", "true|false",
		"The unit runs on every machine that matches `MachineMetadata=`, also on those that join later."}},
	{flag: func(r *Requirements) *bool { return &r.Rerun }, FleetOption: FleetOption{"Rerun", "", "true|false",
		"A oneshot that has finished runs again where it moves to. Without it one that has finished doesn't run again " +
			"when its machine fails or is drained."}},
	{flag: func(r *Requirements) *bool { return &r.Exclusive }, FleetOption: FleetOption{optExclusive, "", "true|false",
		"There are never two running copies of the service: systemd ends it on its machine, by a process with a deadline " +
			"(the fence), before it starts elsewhere. It stops, too, where its machine is cut off from the cluster's majority. " +
			"Not with `Global=true`."}},
	{read: (*collector).reschedule, FleetOption: FleetOption{optReschedule, "", "no|on-failure",
		"With `on-failure` the unit is tried on another machine when it has failed on its own, or can't be started. " +
			"`no`, the default, leaves it failed where it is. Not with `Global=true` or `MachineOf=`."}},
	{read: (*collector).onIsolation, FleetOption: FleetOption{optIsolation, "", "keep|stop",
		"With `stop` the unit is stopped where its machine has had no answer of the cluster's store for " +
			"`IsolationTimeoutSec=`, and started again when that is over. `keep`, the default, lets it run. " +
			"An exclusive unit needs neither."}},
	{read: (*collector).isolationTimeout, FleetOption: FleetOption{optTimeout, "", "TIME",
		"How long `OnIsolation=stop` waits, as a time of systemd's, such as 1min: 30 s if the file doesn't say, " +
			"5 s at least."}},
}
