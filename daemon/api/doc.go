// Package api is what is said between a daemon and everything outside of it:
// the types on the wire, and the codes, roles and verbs. Package server
// answers, over HTTP, and package client asks.
//
// All paths are under /v1, but for those of fleet's API, which clients of CoreOS
// fleet speak: package fleetv1 has its types and errors, and it is served under
// /v1-alpha too. Replies are JSON; streams are JSON, one value a line. An error is
// {"error": {"code", "message", "hint"}}: what is wrong and what to do about it.
//
//	GET    /v1/watch?unit=&machine=&whatif=&heartbeat=
//	       a snapshot, then changes (stream of Line)
//	GET    /v1/state?unit=&machine=
//	       the snapshot alone (Line)
//	GET    /v1/units?unit=&placed=&table=
//	       units with their placements (UnitList); with table=true flat and short ones (UnitTable)
//	POST   /v1/units
//	       submit a batch (SubmitRequest, ActionReply)
//	GET    /v1/units/{name}
//	       one unit, with its content (UnitDetail)
//	GET    /v1/units/{name}/explain
//	       where it is, and what would be decided of it now (Explanation)
//	GET    /v1/units/{name}/processes?machine=&local=
//	       its processes where it runs (ProcessList)
//	GET    /v1/units/{name}/journal?lines=&since=&until=&priority=&grep=&follow=&machine=&fields=
//	       the log of a unit, or of all that match a glob, wherever it runs (stream of journal.Entry)
//	GET    /v1/journal?unit=&unit=&…
//	       the same for several (stream of journal.Entry)
//	POST   /v1/actions
//	       a verb for a batch of units (ActionRequest, ActionReply)
//	GET    /v1/machines
//	       machines (MachineList)
//	POST   /v1/machines
//	       cordon, drain or uncordon several together (MachinesRequest, MachinesReply)
//	GET    /v1/machines/{id}/host/{unit}
//	       a unit of a machine's host, with its file, if it can be adopted (units.HostUnit)
//	POST   /v1/machines/{id}/{verb}
//	       cordon, drain or uncordon one (Machine)
//	GET    /v1/machines/{id}/drill
//	       what a loss of the machine's power would do to its units (DrillPlan)
//	POST   /v1/machines/{id}/drill
//	       take it out for a time, as a loss of power would (DrillRequest, DrillReply)
//	DELETE /v1/machines/{id}
//	       forget a dead machine (Machine)
//	GET    /v1/drain?machine=
//	       what draining machines would do to their units (DrainPlan)
//	GET    /v1/rebalance?exclusive=&max=
//	       the moves that would balance the machines' loads, or those that go on (RebalancePlan)
//	POST   /v1/rebalance
//	       make such moves, or take them back (RebalanceRequest, RebalanceReply)
//	POST   /v1/leave
//	       this machine leaves the cluster for good (Moved)
//	GET    /v1/events?since=&limit=&follow=
//	       the timeline (EventList, or a stream of events)
//	GET    /v1/stats?follow=&local=
//	       CPU and memory of machines and units (stream of Stats)
//	GET    /v1/stats/history?unit=&machine=&local=
//	       CPU and memory of machines during the last hour, or of a unit on them (HistoryList)
//	GET    /v1/connectivity?local=&machine=
//	       what each machine sees of each other one, within a second (Connectivity); with local=true what this one does (Connections)
//	GET    /v1/keys
//	       the cluster's keys by ID (KeyList)
//	POST   /v1/keys/rotate
//	       change the key (KeyList)
//	POST   /v1/keys/finish
//	       drop the old key (KeyList)
//	POST   /v1/join-token
//	       a token for a machine to join (JoinToken)
//	POST   /v1/notify/test
//	       send a test to this daemon's receivers of notices (NotifyReport)
//	GET    /v1/backup
//	       units, machines and timeline at one revision (a backup's file)
//	POST   /v1/restore?dry-run=&inactive=
//	       write what a backup's file has and the cluster hasn't (RestoreReply)
//	GET    /v1/version
//	       of this daemon (Version)
//	GET    /fleet/v1/discovery
//	       fleet's API as clients discover it
//	GET    /fleet/v1/units?nextPageToken=
//	       a page of units (fleetv1.UnitPage)
//	GET    /fleet/v1/units/{name}
//	       one unit (fleetv1.Unit)
//	PUT    /fleet/v1/units/{name}
//	       submit a unit, or set its desired state (fleetv1.Unit)
//	DELETE /fleet/v1/units/{name}
//	       destroy a unit
//	GET    /fleet/v1/state?machineID=&unitName=&nextPageToken=
//	       a page of systemd's states (fleetv1.UnitStatePage)
//	GET    /fleet/v1/state/{name}
//	       those of one unit (fleetv1.UnitState)
//	GET    /fleet/v1/machines?nextPageToken=
//	       a page of the machines that are up (fleetv1.MachinePage)
//	PATCH  /fleet/v1/machines
//	       change machines' metadata (list of fleetv1.MetadataOp)
//	GET    /healthz
//	       200 while the store answers, else 503
//	GET    /metrics
//	       for Prometheus
//
// Reads take ?revision=N and then show at least that revision; the reply to a
// write carries the revision to ask for. Where the store is lost they show the
// last state that is known, and since when.
//
// POST to /v1/units, /v1/actions, /v1/machines, /v1/rebalance and /v1/leave may take long.
// With Accept: application/x-ndjson the answer begins with lines of
// {"progress": Progress} and empty ones, and ends with {"reply"} or {"error"}.
package api
