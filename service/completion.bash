# Completion for bash of esgf_stac_relay and esgf_stac_ingest, which are asked themselves
# what options they have.
_esgf_stac() {
	local word=${COMP_WORDS[COMP_CWORD]} option='' help
	help=$("$1" --help 2>/dev/null) || return 0

	# The value of an option stands behind "=", which bash takes for a word, or is the next word.
	if [[ $word == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 1]} word=''
	elif [[ $COMP_CWORD -gt 2 && ${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == -* && $word != -* ]]; then
		option=${COMP_WORDS[COMP_CWORD - 1]}
	fi

	if [[ -n $option && $help =~ (^|[$'\n ,'])$option(=|,\ --[a-z-]+=)([A-Z]+) ]]; then
		# Of what a value may be, only files can be looked up.
		[[ ${BASH_REMATCH[3]} != FILE ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word")
		compopt -o default 2>/dev/null
	elif [[ $word == -* || -z $word ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(grep -oE '^ +(-., )?--[a-z-]+=?' <<<"$help" | grep -oE -- '--.*')" -- "$word")
		[[ ${#COMPREPLY[@]} -ne 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
	fi
}
complete -F _esgf_stac esgf_stac_relay esgf_stac_ingest
