package server

import (
	"net/http"

	"fleettop/daemon/api"
)

// route is one entry of the API: nothing is answered that has none.
type route struct {
	method string // "" takes any
	path   string // as http.ServeMux has it
	query  string // the parameters it reads, for people
	access access
	serve  http.HandlerFunc
	doc    string // what it answers, for people; the list in package api's documentation
}

// routes are all of the API.
func (s *Server) routes() []route {
	return append(s.fleetRoutes(), []route{
		{"GET", "/v1/watch", "unit=&machine=&whatif=&heartbeat=", permRead, s.watch,
			"a snapshot, then changes (stream of Line)"},
		{"GET", "/v1/state", "unit=&machine=", permRead, s.reading(s.state), "the snapshot alone (Line)"},
		{"GET", "/v1/units", "unit=&placed=&table=", permRead, s.reading(s.listUnits),
			"units with their placements (UnitList); with table=true flat and short ones (UnitTable)"},
		{"POST", "/v1/units", "", permWrite, s.submitUnits, "submit a batch (SubmitRequest, ActionReply)"},
		{"GET", "/v1/units/{name}", "", permRead, s.reading(s.getUnit), "one unit, with its content (UnitDetail)"},
		{"GET", "/v1/units/{name}/explain", "", permRead, s.reading(s.explainUnit),
			"where it is, and what would be decided of it now (Explanation)"},
		{"GET", "/v1/units/{name}/processes", "machine=&local=", permRead, s.unitProcesses,
			"its processes where it runs (ProcessList)"},
		{"GET", "/v1/units/{name}/journal", "lines=&since=&until=&priority=&grep=&follow=&machine=&fields=", permRead, s.journal,
			"the log of a unit, or of all that match a glob, wherever it runs (stream of journal.Entry)"},
		{"GET", "/v1/journal", "unit=&unit=&…", permRead, s.journal, "the same for several (stream of journal.Entry)"},
		{"POST", "/v1/actions", "", permWrite, s.act, "a verb for a batch of units (ActionRequest, ActionReply)"},
		{"GET", "/v1/machines", "", permRead, s.reading(s.listMachines), "machines (MachineList)"},
		{"POST", "/v1/machines", "", permWrite, s.scheduleMachines,
			"cordon, drain or uncordon several together (MachinesRequest, MachinesReply)"},
		{"GET", "/v1/machines/{id}/host/{unit}", "", permDelegate, s.reading(s.hostUnit),
			"a unit of a machine's host, with its file, if it can be adopted (units.HostUnit)"},
		{"POST", "/v1/machines/{id}/{verb}", "", permWrite, s.scheduleMachine, "cordon, drain or uncordon one (Machine)"},
		{"GET", "/v1/machines/{id}/drill", "", permWrite, s.reading(s.planDrill),
			"what a loss of the machine's power would do to its units (DrillPlan)"},
		{"POST", "/v1/machines/{id}/drill", "", permWrite, s.drill,
			"take it out for a time, as a loss of power would (DrillRequest, DrillReply)"},
		{"DELETE", "/v1/machines/{id}", "", permWrite, s.forgetMachine, "forget a dead machine (Machine)"},
		{"GET", "/v1/drain", "machine=", permWrite, s.reading(s.planDrain),
			"what draining machines would do to their units (DrainPlan)"},
		{"GET", "/v1/rebalance", "exclusive=&max=", permWrite, s.reading(s.planRebalance),
			"the moves that would balance the machines' loads, or those that go on (RebalancePlan)"},
		{"POST", "/v1/rebalance", "", permWrite, s.rebalance, "make such moves, or take them back (RebalanceRequest, RebalanceReply)"},
		{"POST", "/v1/leave", "", permWrite, s.leave, "this machine leaves the cluster for good (Moved)"},
		{"GET", "/v1/events", "since=&limit=&follow=", permRead, s.events, "the timeline (EventList, or a stream of events)"},
		{"GET", "/v1/stats", "follow=&local=", permRead, s.stats, "CPU and memory of machines and units (stream of Stats)"},
		{"GET", "/v1/stats/history", "unit=&machine=&local=", permRead, s.statsHistory,
			"CPU and memory of machines during the last hour, or of a unit on them (HistoryList)"},
		{"GET", "/v1/connectivity", "local=&machine=", permRead, s.connectivity,
			"what each machine sees of each other one, within a second (Connectivity); with local=true what this one does (Connections)"},
		{"GET", "/v1/keys", "", permRead, s.listKeys(), "the cluster's keys by ID (KeyList)"},
		{"POST", "/v1/keys/rotate", "", permWrite, s.rotateKey(), "change the key (KeyList)"},
		{"POST", "/v1/keys/finish", "", permWrite, s.finishRotation(), "drop the old key (KeyList)"},
		{"POST", "/v1/join-token", "", permWrite, s.joinToken(), "a token for a machine to join (JoinToken)"},
		{"POST", "/v1/notify/test", "", permWrite, s.testNotify,
			"send a test to this daemon's receivers of notices (NotifyReport)"},
		{"GET", "/v1/backup", "", permWrite, s.backup, "units, machines and timeline at one revision (a backup's file)"},
		{"POST", "/v1/restore", "dry-run=&inactive=", permWrite, s.restore,
			"write what a backup's file has and the cluster hasn't (RestoreReply)"},
		{"GET", "/v1/version", "", permRead, s.version, "of this daemon (Version)"},
		{"GET", "/healthz", "", permRead, s.healthz, "200 while the store answers, else 503"},
		{"GET", "/metrics", "", permRead, s.metrics.serve, "for Prometheus"},
		{"", "/", "", permAnybody, nothingThere, ""},
	}...)
}

func nothingThere(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, api.Refuse(api.CodeNotFound, "the API's paths begin with /v1, /fleet/v1, /healthz and /metrics",
		"there is nothing at %s", r.URL.Path))
}
