package backup

import (
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// TestPlan has what becomes of each kind of unit and machine.
func TestPlan(t *testing.T) {
	const content = "[Service]\nExecStart=/bin/a\n"
	unit := func(name string, change func(*Unit)) Unit {
		u := Unit{Unit: cluster.Unit{Name: name, Content: content, Desired: units.Launched, Generation: 9, Restart: 4}}
		change(&u)
		return u
	}
	same := func(*Unit) {}
	set := time.Unix(1, 0)
	c := &Content{
		Units: []Unit{
			unit("web@.service", func(u *Unit) { u.Desired = units.Inactive }),
			unit("web@1.service", func(u *Unit) { u.FromTemplate, u.TemplateGeneration = true, 7 }),
			unit("web@2.service", func(u *Unit) { u.FromTemplate, u.Content = true, content+"Nice=1\n" }),
			unit("loaded.service", func(u *Unit) { u.Desired = units.Loaded }),
			unit("job.service", func(u *Unit) { u.Finished = true }),
			unit("adopted.service", func(u *Unit) { u.AdoptedFrom = "m1" }),
			unit("there.service", same),
			unit("other.service", same),
		},
		Machines: []cluster.Machine{
			{ID: "m1", Name: "n1", Schedule: cluster.Drained, ScheduledAt: set, Overrides: map[string]string{"disk": "ssd"}},
			{ID: "m2", Name: "n2", Schedule: cluster.Cordoned, ScheduledAt: set},
			{ID: "m3", Name: "n3", Schedule: cluster.Cordoned, ScheduledAt: set},
			{ID: "m4", Name: "n4"},
		},
	}
	snap := cluster.NewSnapshot(5)
	snap.Units["there.service"] = cluster.Unit{Name: "there.service", Content: content, Desired: units.Inactive}
	snap.Units["other.service"] = cluster.Unit{Name: "other.service", Content: "[Service]\nExecStart=/bin/b\n"}
	snap.Machines["m1"] = cluster.Machine{ID: "m1", Name: "n1"}
	snap.Machines["m2"] = cluster.Machine{ID: "m2", Name: "n2", ScheduledAt: set} // uncordoned since
	p, err := NewPlan(c, snap, api.RestoreOptions{}, "root", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]struct {
		outcome string
		desired units.DesiredState
		noted   bool
	}{
		"web@.service": {api.Restored, units.Inactive, false}, "web@1.service": {api.Restored, units.Launched, false},
		"web@2.service": {api.Restored, units.Launched, false}, "loaded.service": {api.Restored, units.Loaded, false},
		"job.service": {api.Restored, units.Loaded, true}, "adopted.service": {api.Restored, units.Inactive, true},
		"there.service": {api.There, units.Inactive, false}, "other.service": {api.Conflicts, "", true},
	}
	for _, u := range p.Reply.Units {
		w := want[u.Name]
		if u.Outcome != w.outcome || u.Desired != w.desired || (u.Note != "") != w.noted {
			t.Errorf("%+v, expected %+v", u, w)
		}
	}
	if len(p.Reply.Units) != len(want) || len(p.Create) != len(want)-2 {
		t.Errorf("%d units of %d, %d created", len(p.Reply.Units), len(want), len(p.Create))
	}
	for _, u := range p.Create {
		if u.Generation != 1 || u.Restart != 0 || u.AdoptedFrom != "" || u.Hash == "" || u.By != "root" {
			t.Errorf("created %+v", u)
		}
		if follows := u.Name == "web@1.service"; follows != (u.TemplateGeneration == 1) {
			t.Errorf("%s has its template's generation %d", u.Name, u.TemplateGeneration)
		}
	}
	outcomes := ""
	for _, m := range p.Reply.Machines {
		outcomes += m.Name + " " + m.What + " " + m.Outcome + "; "
	}
	if expected := "n1 drained, disk=ssd restored; n2 cordoned there; n3 cordoned left out; "; outcomes != expected {
		t.Errorf("machines: %s, expected %s", outcomes, expected)
	}
	p, err = NewPlan(c, snap, api.RestoreOptions{Inactive: true}, "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range p.Create {
		if u.Desired != units.Inactive {
			t.Errorf("with --inactive %s is %s", u.Name, u.Desired)
		}
	}
}
