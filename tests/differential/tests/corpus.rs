//! Every Dockerfile of the corpus, built by Berth and by buildah: the images are equal, or the
//! difference is listed with its reason in the case's `expect.toml`.

use std::collections::BTreeSet;

macro_rules! cases {
    ($($name:ident)*) => {
        const CASES: &[&str] = &[$(stringify!($name)),*];
        /// `cargo xtask ci` runs them beside the other tests, by this name.
        mod dockerfiles {
            $(
                #[test]
                fn $name() {
                    differential::check(stringify!($name));
                }
            )*
        }
    };
}

cases! {
    a_build_context_has_a_name
    a_context_may_be_empty
    a_file_may_look_like_a_whiteout_to_nobody
    a_large_file_is_whole
    a_name_may_be_no_unicode
    a_stage_goes_on_from_an_earlier_one
    a_volume_is_in_the_config
    add_of_a_git_repository_takes_what_is_checked_out
    add_of_a_url_checks_its_checksum
    add_of_a_url_has_its_time_and_name
    add_unpacks_local_archives
    an_entrypoint_in_a_child_image_resets_the_command
    an_ignore_file_of_the_dockerfile_wins_over_the_contexts
    arg_belongs_to_its_stage
    arg_is_not_in_the_image_and_env_wins_over_it
    comments_and_continuations_are_not_part_of_a_step
    config_instructions_are_in_the_config
    copy_chmod_sets_files_and_what_lies_in_directories
    copy_chmod_takes_symbolic_modes
    copy_chown_takes_names_and_numbers
    copy_exclude_leaves_out_what_fits
    copy_follows_links_of_the_image_and_keeps_those_of_the_context
    copy_knows_wildcards_directories_and_new_names
    copy_link_lays_files_over_whatever_is_there
    copy_parents_keeps_the_folders_above
    copy_replaces_files_and_merges_directories
    copy_takes_from_another_image
    copy_takes_from_stages_by_name_and_number
    named_pipes_are_kept
    dockerignore_has_patterns_exceptions_and_comments
    dockerignore_may_leave_out_everything_but
    env_is_expanded_where_the_reference_says
    extended_attributes_and_capabilities_are_kept
    from_scratch_holds_what_is_copied_and_nothing_else
    healthcheck_is_in_the_config
    healthcheck_is_for_the_shell_of_the_image
    healthcheck_may_be_a_list_or_none
    heredocs_are_scripts_and_files
    links_between_files_are_copied_as_files
    links_between_files_stay_links
    many_files_are_all_there
    odd_names_are_names
    onbuild_is_kept_in_the_config
    onbuild_runs_in_the_image_that_is_built_on_it
    only_stages_that_are_needed_are_built
    platform_arguments_are_there_when_declared
    run_mounts_a_bind_of_the_context_or_a_stage
    run_mounts_a_cache_that_steps_share_and_no_image_has
    run_mounts_a_secret_that_is_in_no_layer
    run_mounts_a_tmpfs_that_is_gone_afterwards
    run_mounts_an_ssh_agent
    run_takes_a_shell_line_or_a_list
    run_without_a_network_has_a_loopback_alone
    shell_is_what_runs_lines
    special_modes_are_kept
    symbolic_links_may_lead_anywhere
    the_escape_directive_changes_the_escape
    the_last_command_and_entrypoint_count
    user_and_workdir_decide_who_owns_what
    what_a_step_removes_is_gone

    project_c_in_two_stages
    project_go_with_modules
    project_node_with_npm_ci
    project_of_a_monorepo
    project_python_with_pip
    project_rust_with_cargo
    project_static_site
    project_with_a_user_of_its_own
    project_with_an_entrypoint_script
    project_with_packages_of_apt
}

#[test]
fn every_folder_of_the_corpus_is_a_case() {
    let folders = fs_err::read_dir(differential::corpus()).unwrap();
    let folders = folders.map(|folder| folder.unwrap().file_name().into_string().unwrap());
    let cases = CASES.iter().map(|name| (*name).to_owned());
    assert_eq!(folders.collect::<BTreeSet<_>>(), cases.collect());
}
