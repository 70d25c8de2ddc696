// Package agent reconciles one machine with its assignments: Plan decides
// purely, Agent carries it out on a units.Manager and reports statuses.
//
// Its rules: act only on a complete, current snapshot; never touch a running
// unit because the daemon came or went; keep one bad unit from holding up the
// others; write all files, reload once, then start; say that something was
// carried out when it is known how that went; try nothing again without a pause.
package agent
