package cli

import (
	"context"
	"fmt"

	"fleettop/cmd/fleettop/internal/unitfiles"
	"fleettop/cmd/fleettop/internal/wait"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
)

// sending is what was sent to the daemon for a verb, and what came of it.
type sending struct {
	*unitfiles.Given
	results []api.UnitResult
	left    []string // units of which nothing is known, as the daemon went away
}

// send sends what the arguments mean to the daemon.
func (a *app) send(ctx context.Context, c *client.Client, verb api.Verb, fl *actFlags,
	args []string) (s sending, err error) {
	s.Given = &unitfiles.Given{Names: args}
	if takesFiles(verb) {
		given, err := a.env.gather(verb, fl.replace, args)
		if err != nil {
			return s, err
		}
		s.Given = given
	}
	req := api.ActionRequest{Verb: verb, Replace: fl.replace, MaxUnavailable: fl.most, Files: s.Files}
	if len(s.Names) > 0 {
		limited, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		if req.Units, err = known(limited, c, verb, s.Names); err != nil {
			s.left = append(unitsOf(req), unitfiles.Names(s.Names)...)
			return s, err
		}
	}
	if len(req.Units)+len(req.Files) == 0 {
		return s, nil
	}
	list := batches(req)
	for i, b := range list {
		reply, err := c.Act(ctx, b)
		if err != nil {
			for _, b := range list[i:] {
				s.left = append(s.left, unitsOf(b)...)
			}
			return s, err
		}
		s.results = append(s.results, reply.Results...)
	}
	return s, nil
}

// unitsOf are the units that a request is about.
func unitsOf(req api.ActionRequest) []string {
	names := make([]string, 0, len(req.Files)+len(req.Units))
	for _, f := range req.Files {
		names = append(names, f.Name)
	}
	return append(names, req.Units...)
}

// complete adds to the outcomes, for programs, what of each unit is only known
// from what the daemon said of it, and the units that an error left out.
func (s *sending) complete(outcomes []wait.Outcome, err error) []wait.Outcome {
	results := map[string]api.UnitResult{}
	for _, r := range s.results {
		results[r.Name] = r
	}
	for i, o := range outcomes {
		r := results[o.Unit]
		outcomes[i].Warning, outcomes[i].TemplateHash = r.Warning, r.TemplateHash
		if r.Submitted {
			outcomes[i].File = s.Paths[o.Unit]
		}
	}
	for _, unit := range s.left {
		outcomes = append(outcomes,
			wait.Outcome{Unit: unit, Verdict: wait.Unknown, Text: err.Error(), Error: failureOf(err, nil)})
	}
	return outcomes
}

// explain is why the daemon refused a unit: where it knows none of that name,
// a file at hand that can't be read may be why.
func (s *sending) explain(r api.UnitResult) *api.Error {
	if e := s.Unread[r.Name]; e != nil && r.Error.Code == api.CodeNotFound {
		return e
	}
	return r.Error
}

// saySubmitted says that a name was taken for a file's.
func (s *sending) saySubmitted(a *app, r api.UnitResult) {
	if path := s.Paths[r.Name]; path != "" && r.Submitted && s.Bare[r.Name] {
		fmt.Fprintf(a.err, "Submitted %s from the file %s.\n", r.Name, path)
	}
}

// maxBatch is how much content goes into one request.
const maxBatch = 8 << 20

// batches splits a request into some of bounded size.
func batches(req api.ActionRequest) []api.ActionRequest {
	var out []api.ActionRequest
	rest, first := req.Files, req
	first.Units = nil
	for size, i := 0, 0; i < len(rest); i++ {
		size += len(rest[i].Content)
		if size > maxBatch && i > 0 {
			first.Files = rest[:i]
			out = append(out, first)
			rest, size, i = rest[i:], 0, -1
		}
	}
	req.Files = rest
	return append(out, req)
}
