package server

import (
	"fmt"
	"strings"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/units"
)

// An instance without a file of its own has its template's content as of when
// it took it: when it was made known, and again at each --replace. A template
// that changes meanwhile changes no instance by itself, as none may restart
// unasked; each answer says which ones keep the earlier content.

// newerTemplate is the hash of the content that the template of a unit has
// now, where the unit keeps an earlier one, and by how many versions that is
// behind; 0 where it isn't known.
func newerTemplate(u cluster.Unit, snap *cluster.Snapshot) (hash string, behind int64) {
	if !u.FromTemplate {
		return "", 0
	}
	n, err := units.ParseName(u.Name)
	if err != nil {
		return "", 0
	}
	t, known := snap.Units[n.Template()]
	if !known || t.Hash == u.Hash {
		return "", 0
	}
	if u.TemplateGeneration > 0 {
		behind = max(0, t.Generation-u.TemplateGeneration)
	}
	return t.Hash, behind
}

// fileFor is the file an item is to have: its own, or of its template where it
// has none. Nil means to leave it as it is.
func (a *action) fileFor(it *item, snap *cluster.Snapshot) (*file, *api.Error) {
	switch {
	case it.given != nil && !it.fallback && it.given.template:
		return a.atHand(it, snap)
	case it.given != nil && !it.fallback:
		return it.given, nil
	case it.old != nil:
		if a.replace && it.old.FromTemplate {
			return a.template(it, snap)
		}
		return nil, nil
	case it.given != nil && !it.given.template:
		return it.given, nil
	}
	if takesFiles(a.verb) {
		if f, e := a.template(it, snap); f != nil || e != nil {
			return f, e
		}
	}
	if it.given != nil {
		return it.given, nil
	}
	return nil, api.UnitNotFound(it.name.String())
}

// atHand is the file that came for an instance as its template's content. Where the
// cluster has another template of that name, it is a file of the instance's own.
func (a *action) atHand(it *item, snap *cluster.Snapshot) (*file, *api.Error) {
	f, e := a.template(it, snap)
	if e == nil && f != nil && f.hash != it.given.hash {
		return &file{content: it.given.content, hash: it.given.hash}, nil
	}
	if e == nil && f != nil {
		it.given.generation = f.generation
	}
	return it.given, e
}

// templateOf is the content that an instance's template has: that which comes with the
// request, or the one that the cluster has. It is not checked for the instance.
func (a *action) templateOf(it *item, snap *cluster.Snapshot) (f file, known bool) {
	if !it.name.IsInstance() {
		return file{}, false
	}
	came := a.files[it.name.Template()]
	if t := came; t != nil && t.given != nil && t.result.Error == nil && (!t.fallback || t.old == nil) {
		return file{content: t.given.content, hash: t.given.hash, template: true, generation: t.done.next.Generation}, true
	}
	t, known := snap.Units[it.name.Template()]
	return file{content: t.Content, hash: t.Hash, template: true, generation: t.Generation}, known
}

// template is an instance's file by its template, nil without one.
func (a *action) template(it *item, snap *cluster.Snapshot) (*file, *api.Error) {
	t, known := a.templateOf(it, snap)
	if !known {
		return nil, nil
	}
	f, e := parse(it.name, t.content)
	if e == nil {
		f.template, f.generation = true, t.generation
	}
	return f, e
}

// warn says where a unit has another content than the person may think.
func (a *action) warn(it *item, snap *cluster.Snapshot) {
	u, r := it.done.next, &it.result
	template, known := a.templateOf(it, snap)
	stands := it.given != nil && it.fallback // a file that is used only if need be
	switch {
	case u.FromTemplate && known && template.hash != u.Hash:
		r.TemplateHash = template.hash
		r.Warning = fmt.Sprintf("%s keeps the template's earlier content (hash %.7s, the template has %.7s): "+
			"`fleettop start --replace %s` takes the new one", u.Name, u.Hash, template.hash, u.Name)
	case stands && !it.given.template && it.given.hash != u.Hash:
		r.Warning = fmt.Sprintf("%s is the one submitted, and not the file here, which differs "+
			"(hash %.7s, the file has %.7s): "+
			"`fleettop %s --replace ./%s` puts the file in its place", u.Name, u.Hash, it.given.hash, a.verb, u.Name)
	case stands && it.given.template && u.FromTemplate && known && template.hash != it.given.hash:
		r.Warning = fmt.Sprintf("%s is of the template submitted, and not of the file %s here, which differs: "+
			"`fleettop submit --replace %s` puts the file in its place", u.Name, it.name.Template(), it.name.Template())
	case it.given != nil && it.given.template && !it.fallback && known && template.hash != it.given.hash:
		r.Warning = fmt.Sprintf("%s has the content of the file %s here, and not of the template submitted, "+
			"which differs (hash %.7s, the file has %.7s), and counts as having a file of its own: "+
			"`fleettop submit --replace ./%s` puts the file in its place",
			u.Name, it.name.Template(), template.hash, it.given.hash, it.name.Template())
	case it.name.IsTemplate() && a.verb == api.Submit:
		r.Warning = a.leftBehind(it, snap)
	case a.replace && it.old != nil && (it.given == nil || it.fallback):
		r.Warning = unreplaced(it.old, it.name.Template(), known)
	}
}

// unreplaced is why --replace leaves the content of a unit as it is; empty if it doesn't.
func unreplaced(u *cluster.Unit, template string, known bool) string {
	switch {
	case u.FromTemplate && known:
		return ""
	case u.FromTemplate:
		return fmt.Sprintf("nothing replaces the content of %s: its template %s is not submitted", u.Name, template)
	case known:
		return fmt.Sprintf("%s has a file of its own, which its template doesn't replace: "+
			"`fleettop destroy %s`, and start it anew for the template's", u.Name, u.Name)
	}
	return fmt.Sprintf("nothing replaces the content of %s: give the file that is to, such as ./%s", u.Name, u.Name)
}

// leftBehindNames is how many instances a warning names.
const leftBehindNames = 5

// leftBehind says which instances of a template keep an earlier content of it.
func (a *action) leftBehind(it *item, snap *cluster.Snapshot) string {
	var names []string
	for _, name := range sortedKeys(snap.Units) {
		u := snap.Units[name]
		n, err := units.ParseName(name)
		if err == nil && u.FromTemplate && n.Template() == it.name.String() &&
			u.Hash != it.done.next.Hash && !a.takes(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	who, them := names[0]+" keeps", "it"
	if len(names) > 1 {
		shown := names[:min(len(names), leftBehindNames)]
		who, them = strings.Join(shown, ", ")+" keep", "them"
		if more := len(names) - len(shown); more > 0 {
			who = fmt.Sprintf("%s and %d more keep", strings.Join(shown, ", "), more)
		}
	}
	return fmt.Sprintf("%s the earlier content of %s: `fleettop start --replace` with the instances' names "+
		"gives %s the new one", who, it.name, them)
}

// takes reports whether a unit is named in this action and takes what is new.
func (a *action) takes(name string) bool {
	for _, it := range a.items {
		if it.name.String() == name {
			return a.replace
		}
	}
	return false
}
