package rules_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/outcry-mqtt/outcry/broker"
	"github.com/outcry-mqtt/outcry/hooks/rules"
)

// The model matches a filter with a name (MQTT 5 4.7) and compares sets of names. Names have one level more than
// filters and a level text that no filter has, so that every difference shows.

const (
	filterLevels = 3
	nameLevels   = filterLevels + 1
)

// words returns all texts of 1 to levels levels from the alphabet.
func words(levels int, alphabet ...string) []string {
	all := slices.Clone(alphabet)
	last := alphabet
	for range levels - 1 {
		var longer []string
		for _, start := range last {
			for _, level := range alphabet {
				longer = append(longer, start+"/"+level)
			}
		}
		all, last = append(all, longer...), longer
	}
	return slices.DeleteFunc(all, func(text string) bool {
		return text == "" || strings.Contains(text, "#/")
	})
}

// modelMatches is the specification's matching, by recursion.
func modelMatches(filter, name []string) bool {
	switch {
	case len(filter) > 0 && filter[0] == "#":
		return true
	case len(filter) == 0 || len(name) == 0:
		return len(filter) == len(name)
	}
	return (filter[0] == "+" || filter[0] == name[0]) && modelMatches(filter[1:], name[1:])
}

func matchesName(filter, name string) bool {
	if strings.HasPrefix(name, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	return modelMatches(strings.Split(filter, "/"), strings.Split(name, "/"))
}

type nameSet []bool

func setOf(filter string, names []string) nameSet {
	set := make(nameSet, len(names))
	for i, name := range names {
		set[i] = matchesName(filter, name)
	}
	return set
}

func (s nameSet) covers(other nameSet) bool {
	for i := range s {
		if other[i] && !s[i] {
			return false
		}
	}
	return true
}

func (s nameSet) overlaps(other nameSet) bool {
	for i := range s {
		if other[i] && s[i] {
			return true
		}
	}
	return false
}

var (
	modelFilters = words(filterLevels, "a", "$s", "", "+", "#")
	modelNames   = append(words(nameLevels, "a", "$s", "", "z"), "") // a topic is never empty, but /# matches it by its levels
)

func modelSets() map[string]nameSet {
	sets := map[string]nameSet{}
	for _, filter := range modelFilters {
		sets[filter] = setOf(filter, modelNames)
	}
	return sets
}

// For every pair of filters: one is allowed by the other exactly if the other matches all of its names.
func TestAllowCoversAsTheModel(t *testing.T) {
	sets, ann := modelSets(), user("ann", nil)
	for _, filter := range modelFilters {
		a := mustNew(t, only(allow("*", filter)))
		for _, wanted := range modelFilters {
			if got, want := a.Authorize(ann, sub, wanted), sets[filter].covers(sets[wanted]); got != want {
				t.Errorf("allow %q, subscribe %q: got %v, want %v", filter, wanted, got, want)
			}
		}
		for i, name := range modelNames {
			for _, action := range []broker.Action{pub, sub, deliver} {
				if got := a.Authorize(ann, action, name); got != sets[filter][i] {
					t.Errorf("allow %q, %s %q: got %v", filter, action, name, got)
				}
			}
		}
	}
}

// For every pair of filters: one is refused by the other exactly if a name matches both.
func TestDenyOverlapsAsTheModel(t *testing.T) {
	sets, ann := modelSets(), user("ann", nil)
	everything := rules.Rule{Allow: true, Who: []string{"*"}, Topics: []string{"#", "$s/#"}}
	for _, filter := range modelFilters {
		a := mustNew(t, only(deny("*", filter), everything))
		for _, wanted := range modelFilters {
			if got, want := a.Authorize(ann, sub, wanted), !sets[filter].overlaps(sets[wanted]); got != want {
				t.Errorf("deny %q, subscribe %q: got %v, want %v", filter, wanted, got, want)
			}
		}
	}
}

// expand returns the filters of a pattern, one for each combination of its placeholders' values.
func expand(pattern string, values map[string][]string) []string {
	filters := []string{""}
	for i, level := range strings.Split(pattern, "/") {
		texts := []string{level}
		if found, ok := values[level]; ok {
			texts = slices.DeleteFunc(slices.Clone(found), func(text string) bool {
				return text == "" || strings.ContainsAny(text, "/+#\x00") || i == 0 && text[0] == '$'
			})
		}
		var longer []string
		for _, start := range filters {
			for _, text := range texts {
				longer = append(longer, start+"/"+text)
			}
		}
		filters = longer
	}
	for i := range filters {
		filters[i] = filters[i][1:]
	}
	return filters
}

// FuzzPlaceholders compares a pattern with all filters it stands for.
func FuzzPlaceholders(f *testing.F) {
	addCorpus(f)
	f.Add([]byte{5, 4}, []byte{0, 4}, []byte{0})
	f.Add([]byte{0, 5, 4}, []byte{0, 3}, []byte{3, 4})
	f.Add([]byte{0, 6, 5}, []byte{4}, []byte{1, 5, 6})
	patternLevels := []string{"a", "$s", "", "+", "#", "{claim.r}", "{client}"}
	filterAlphabet := []string{"a", "$s", "", "+", "#"}
	values := []string{"a", "$s", "", "+", "#", "a/a", "z"}
	f.Fuzz(func(t *testing.T, patternBytes, filterBytes, valueBytes []byte) {
		pattern, ok := spell(patternLevels, patternBytes)
		filter, ok2 := spell(filterAlphabet, filterBytes)
		if !ok || !ok2 || len(valueBytes) == 0 || len(valueBytes) > 4 || strings.Count(pattern, "{claim.r}") > 1 {
			t.Skip()
		}
		var list []any
		var texts []string
		for _, b := range valueBytes {
			texts = append(texts, values[int(b)%len(values)])
			list = append(list, texts[len(texts)-1])
		}
		ann := &broker.Client{ID: texts[0], Identity: &broker.Identity{User: "ann", Claims: claims{"r": list}}}
		wanted := setOf(filter, modelNames)
		covers, overlaps := false, false
		for _, one := range expand(pattern, map[string][]string{"{claim.r}": texts, "{client}": texts[:1]}) {
			set := setOf(one, modelNames)
			covers = covers || set.covers(wanted)
			overlaps = overlaps || set.overlaps(wanted)
		}
		if got := mustNew(t, only(allow("*", pattern))).Authorize(ann, sub, filter); got != covers {
			t.Errorf("allow %q with %q, subscribe %q: got %v, want %v", pattern, texts, filter, got, covers)
		}
		o := only(deny("*", pattern), rules.Rule{Allow: true, Who: []string{"*"}, Topics: []string{"#", "$s/#"}})
		if got := mustNew(t, o).Authorize(ann, sub, filter); got == overlaps {
			t.Errorf("deny %q with %q, subscribe %q: got %v", pattern, texts, filter, got)
		}
	})
}

// spell returns a filter of the alphabet, or false if it is not valid.
func spell(alphabet []string, bytes []byte) (string, bool) {
	var levels []string
	for _, b := range bytes {
		levels = append(levels, alphabet[int(b)%len(alphabet)])
	}
	text := strings.Join(levels, "/")
	return text, text != "" && len(levels) <= filterLevels && !strings.Contains(text, "#/")
}

// FuzzOptions checks that every rule compiles or has a problem, and that no topic makes it panic.
func FuzzOptions(f *testing.F) {
	addCorpus(f)
	for _, source := range []string{"a/+/#", "{client}/#", "x/{claim.r}", "{", "a/{}/b", "{claim.a/b}/c", "$share/g/t", "+a"} {
		f.Add(source, "claim:r", "a/b")
	}
	f.Fuzz(func(t *testing.T, topics, entry, topic string) {
		ann := user("ann", claims{"r": []any{topic, entry}})
		for _, o := range []rules.Options{
			only(allow(entry, topics)),
			only(deny(entry, topics), allow("*", "#")),
			{Rooms: []rules.Room{{Topics: topics, Join: []string{entry}, Speak: []string{"*"}}}},
		} {
			a, err := rules.New(o)
			if err != nil {
				continue
			}
			for _, action := range []broker.Action{pub, sub, deliver} {
				if a.Authorize(ann, action, topic) != a.Explain(ann, rules.Question{Action: action, Topic: topic}).Allow {
					t.Errorf("Authorize and Explain differ on %q", topic)
				}
			}
			a.QueuePolicy(topic)
		}
	})
}
