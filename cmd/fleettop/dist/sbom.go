package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// The parts of an SPDX 2.3 document that ours has.
type spdxDocument struct {
	Version       string             `json:"spdxVersion"`
	License       string             `json:"dataLicense"`
	ID            string             `json:"SPDXID"`
	Name          string             `json:"name"`
	Namespace     string             `json:"documentNamespace"`
	Creation      spdxCreation       `json:"creationInfo"`
	Describes     []string           `json:"documentDescribes"`
	Packages      []spdxPackage      `json:"packages"`
	Relationships []spdxRelationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID        string         `json:"SPDXID"`
	Name      string         `json:"name"`
	Version   string         `json:"versionInfo"`
	File      string         `json:"packageFileName,omitempty"`
	Download  string         `json:"downloadLocation"`
	Analyzed  bool           `json:"filesAnalyzed"`
	Concluded string         `json:"licenseConcluded"`
	Declared  string         `json:"licenseDeclared"`
	Copyright string         `json:"copyrightText"`
	Purpose   string         `json:"primaryPackagePurpose"`
	Sums      []spdxChecksum `json:"checksums,omitempty"`
	Refs      []spdxRef      `json:"externalRefs,omitempty"`
	Comment   string         `json:"comment,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const noAssertion = "NOASSERTION"

// billOfMaterials lists the modules that are linked into a program, as it says
// itself, with Go's library and the program's own sum.
func billOfMaterials(r *release, a arch, p program) ([]byte, error) {
	sum := sha256.Sum256(p.binary)
	name := fmt.Sprintf("fleettop-%s-linux-%s", r.version, a.name)
	const own = "SPDXRef-Package-fleettop"
	doc := spdxDocument{Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: name,
		Namespace: "https://spdx.org/spdxdocs/" + name + "-" + hex.EncodeToString(sum[:16]),
		Creation:  spdxCreation{r.date.Format(time.RFC3339), []string{"Tool: fleettop-dist"}},
		Describes: []string{own},
		Packages: []spdxPackage{{ID: own, Name: "fleettop", Version: r.version, File: "fleettop", Download: noAssertion,
			Concluded: "Apache-2.0", Declared: "Apache-2.0", Copyright: noAssertion, Purpose: "APPLICATION",
			Sums:    []spdxChecksum{{"SHA256", hex.EncodeToString(sum[:])}},
			Comment: "commit " + r.commit}},
		Relationships: []spdxRelationship{{"SPDXRef-DOCUMENT", "DESCRIBES", own}},
	}
	add := func(id, name, version, purl, comment string) {
		doc.Packages = append(doc.Packages, spdxPackage{ID: id, Name: name, Version: version, Download: noAssertion,
			Concluded: noAssertion, Declared: noAssertion, Copyright: noAssertion, Purpose: "LIBRARY",
			Refs: []spdxRef{{"PACKAGE-MANAGER", "purl", purl}}, Comment: comment})
		doc.Relationships = append(doc.Relationships, spdxRelationship{own, "STATIC_LINK", id})
	}
	add("SPDXRef-Package-stdlib", "stdlib", p.info.GoVersion,
		"pkg:golang/stdlib@"+strings.TrimPrefix(p.info.GoVersion, "go"), "")
	for _, m := range p.info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		comment := ""
		if m.Sum != "" {
			comment = "go.sum: " + m.Sum
		}
		add("SPDXRef-Module-"+spdxID(m.Path+"-"+m.Version), m.Path, m.Version,
			"pkg:golang/"+m.Path+"@"+url.PathEscape(m.Version), comment)
	}
	data, err := json.MarshalIndent(doc, "", "  ")
	return append(data, '\n'), err
}

// spdxID makes an identifier of a name: letters, digits, dots and hyphens.
func spdxID(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '.' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '-'
	}, name)
}
