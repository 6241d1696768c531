"""The tables of the docs' pages: titles, rows and columns in words, with units."""

from collections.abc import Mapping

from grids import Grid


def _methods(names: Mapping[str, str]) -> dict[str, str]:
    return {f"`{preset}`": f"{key}_{{}}" for preset, key in names.items()}


FIT = {
    "F1": "f1",
    "IoU of volumes": "iou",
    "normal consistency": "normal_consistency",
    "steps": "steps",
}
POSE = {
    "rotation error, median (°)": "rotation_deg_median",
    "mean (°)": "rotation_deg_mean",
    "position error, median (% of radius)": "translation_percent_median",
    "share of poses below 5°": "under_5deg",
}
SHAPE = {
    "Chamfer (% of diagonal)": "chamfer_percent",
    "IoU of volumes": "iou",
    "normal consistency": "normal_consistency",
    "RMS of the eikonal residual": "eikonal_rms",
    "parameters": "parameters",
    "steps": "steps",
}
FIELDS = ("mlp", "encoding", "fourier", "siren", "grid", "hybrid", "hash")
SPACE_FIELDS = (*FIELDS, "ground-plan", "triplane")
CAPTURE = {"PSNR (dB)": "psnr", "SSIM": "ssim", "steps": "steps", "s/image": "image_seconds"}

SURFACE = {
    "PSNR in the masks (dB)": "psnr",
    "silhouette IoU, mean": "mask_iou",
    "lowest": "mask_iou_least",
    "silhouette IoU of the mesh": "mesh_mask_iou",
    "RMS of the eikonal residual": "eikonal_rms",
    "layer width (radii)": "layer_width",
    "steps": "steps",
    "fit (s)": "seconds",
    "peak memory (MB)": "peak_mb",
}
SHOWN_SCENES = {
    "bricks": "bricks, built in",
    "chair": "chair, built in",
    "hotdog": "hotdog, built in",
    "lego": "lego (NeRF-synthetic)",
    "scan65": "scan 65 of DTU",
    "truck": "a toy truck of CO3D",
}
VIEW_WAYS = {
    **{
        f"`view-{kind}`, {way}": f"{{}}_{kind}_{key}"
        for kind in ("regression", "flow")
        for way, key in {
            "nearest input": "nearest",
            "nearest by rotation alone": "nearest_by_rotation",
            "4 nearest": "4_nearest",
            "a random input": "random",
            "all inputs": "all",
        }.items()
    },
    "copy of the nearest input": "{}_nearest_input",
    "copy of the nearest by rotation": "{}_nearest_input_by_rotation",
    "mean of the inputs": "{}_mean_of_the_inputs",
    "radiance field of the inputs alone": "{}_field_of_the_inputs",
    "nearest inputs warped by its depth": "{}_inputs_warped_by_its_depth",
    "the same by a field of all views": "{}_inputs_warped_by_the_scene_s_depth",
}
SHINY_METHODS = (
    *("light-field-fast", "instant-ngp-capture", "nerfacto-fast"),
    *("gaussian-splatting-fast", "mip-nerf-360-fast"),
)
GRIDS: dict[str, dict[str, tuple[Grid, ...]]] = {
    "model_card": {
        "training": (
            Grid(
                "",
                "",
                {
                    "size of the weights (MB)": "package_weights_mb",
                    "`view-regression`, steps": "regression_training_steps",
                    "hours": "regression_training_hours",
                    "`view-flow`, steps": "flow_training_steps",
                    "hours ": "flow_training_hours",
                },
                {"training": ""},
            ),
            Grid(
                "",
                "share of the training",
                {
                    f"{percent}%": f"{{}}_curve_{percent}"
                    for percent in (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
                },
                {
                    "`view-regression`: PSNR of batches (dB)": "regression",
                    "`view-flow`: error of x1 (squared)": "flow",
                },
            ),
        ),
        "quality": (
            Grid(
                "",
                "from one input",
                {
                    "copy of the input": "single_copy_{}",
                    "mean of all images": "single_mean_image_{}",
                    "`view-regression`": "single_regression_{}",
                    "`view-flow`, one sample": "single_flow_{}",
                    "`view-flow`, best of 8 samples": "single_flow_best_of_8_{}",
                },
                {"PSNR (dB)": "psnr", "SSIM": "ssim", "sharpness": "sharpness"},
            ),
            Grid(
                "",
                "by family",
                {"`view-regression`, PSNR (dB)": "single_regression_psnr_{}"},
                {family + "s": family for family in ("chair", "table", "lamp", "car")},
            ),
        ),
    },
    "novel_views": {
        "nearest": (
            Grid(
                "",
                "of five inputs",
                {
                    "copy of the nearest": "nearest_of_5_copy_{}",
                    "`view-regression`, from the nearest": "nearest_of_5_{}_from_1",
                    "from the 4 nearest": "nearest_of_5_{}_from_4",
                    "from all": "nearest_of_5_{}_from_all",
                    "gain of the 4 nearest over the copy (dB)": "nearest_of_5_gain",
                    "gain of the best over the copy (dB)": "nearest_of_5_best",
                },
                {"PSNR (dB)": "psnr"},
            ),
        ),
        "distilled": (
            Grid(
                "",
                "inputs",
                {str(count): f"{{}}_{count}" for count in (1, 3, 5)},
                {
                    "field of the inputs alone (dB)": "field_alone_psnr",
                    "distilled (dB)": "distilled_psnr",
                    "gain (dB)": "distilled_gain",
                    "consistency of the generated views (dB)": "generated_consistency",
                    "gain of the scene in consistency (dB)": "distilled_consistency",
                },
            ),
            Grid("", "", {"one photograph to a scene (s)": "distil_{}"}, {"time": "seconds"}),
        ),
        "scenes": tuple(
            Grid(
                title,
                "PSNR (dB) from N inputs",
                {label: f"{name}_{key}" for label, key in VIEW_WAYS.items()},
                {str(count): str(count) for count in (1, 3, 5, 10, 44, 50)},
            )
            for name, title in SHOWN_SCENES.items()
        ),
    },
    "radiance_fields": {
        "table": (
            Grid(
                "",
                "method",
                _methods(
                    {
                        "nerf-fast": "nerf",
                        "mip-nerf-fast": "mip_nerf",
                        "mip-nerf-360-object-fast": "mip_nerf_360",
                        "instant-ngp-fast": "instant_ngp",
                        "nerfacto-object-fast": "nerfacto",
                        "plenoxels-fast": "plenoxels",
                        "dvgo-fast": "dvgo",
                        "gaussian-splatting-fast": "gaussian_splatting",
                    }
                ),
                {
                    "PSNR (dB)": "psnr",
                    "SSIM": "ssim",
                    "fit (s)": "fit_seconds",
                    "steps": "steps",
                    "s/image": "image_seconds",
                    "model (MB)": "size_mb",
                    "peak memory (GB)": "memory_gb",
                },
            ),
        ),
        "scales": (
            Grid(
                "",
                "image width (pixels)",
                {f"{width}": f"multiscale_{{}}_{width}_psnr" for width in (400, 200, 100, 50)},
                {"NeRF, PSNR (dB)": "nerf", "mip-NeRF, PSNR (dB)": "mip_nerf"},
            ),
        ),
    },
    "light_fields": {
        "figures": (
            *(
                Grid(
                    title,
                    "method",
                    {f"`{m}`": f"{scene}_{m}_{{}}" for m in methods}
                    | {"quadrilinear interpolation": f"{scene}_quadrilinear_{{}}"},
                    {**CAPTURE, "peak memory (GB)": "memory_gb"},
                )
                for scene, title, methods in (
                    (
                        "between",
                        "A grid of 9×9 views, 480×320: the 16 between them",
                        ("light-field-fast", "instant-ngp-capture"),
                    ),
                    (
                        "shiny",
                        "The built-in shiny scene",
                        SHINY_METHODS,
                    ),
                )
            ),
            Grid(
                "The shiny scene by what its pixels show, PSNR (dB)",
                "method",
                {f"`{m}`": f"shiny_{m}_{{}}_psnr" for m in SHINY_METHODS},
                {name: name for name in ("diffuse", "metal", "glass", "hologram")},
            ),
            Grid(
                "Differences",
                "`light-field-fast` over",
                {
                    "`instant-ngp-capture`, on the grid": "light_field_gain{}",
                    "interpolation, on the grid": "light_field_gain_over_quadrilinear{}",
                    "the best radiance field, on the shiny scene": "shiny_gain{}",
                },
                {"PSNR (dB)": ""},
            ),
        ),
    },
    "moving_scenes": {
        "figures": (
            *(
                Grid(
                    title,
                    "method",
                    {f"`{ours}`": f"{scene}_nerfies_{{}}", f"`{still}`": f"{scene}_still_{{}}"},
                    {"PSNR of what moves (dB)": "moving_psnr", **CAPTURE}
                    | {"peak memory (GB)": "memory_gb"},
                )
                for scene, title, ours, still in (
                    (
                        "lamp",
                        "The built-in lamp, 160×160, by its second camera",
                        "nerfies-fast",
                        "instant-ngp-fast",
                    ),
                    (
                        "dnerf_lego",
                        "D-NeRF's lego, 200×200, by its validation split",
                        "nerfies-fast",
                        "instant-ngp-fast",
                    ),
                    (
                        "hand_book",
                        "A film of a hand and a book, every eighth frame held out",
                        "nerfies-capture",
                        "instant-ngp-capture",
                    ),
                )
            ),
            Grid(
                "Differences",
                "over a field that stands still",
                {
                    "the lamp, what moves": "moving_gain{}",
                    "the hand and the book": "hand_book_gain{}",
                },
                {"PSNR (dB)": ""},
            ),
        ),
    },
    "captures": {
        "table": tuple(
            Grid(title, "method", {f"`{m}`": f"{scene}_{m}_{{}}" for m in methods}, CAPTURE)
            for scene, title, methods in (
                (
                    "fern",
                    "fern (forward-facing, 504×378)",
                    ("nerfacto-fast", "instant-ngp-capture", "gaussian-splatting-fast"),
                ),
                (
                    "mouse",
                    "mouse (360° capture, 480×360)",
                    ("nerfacto-fast", "instant-ngp-capture", "gaussian-splatting-fast"),
                ),
                (
                    "scan65",
                    "scan65 (object with masks, 400×300)",
                    ("instant-ngp-fast", "dvgo-fast", "gaussian-splatting-fast"),
                ),
            )
        ),
        "auto": (
            Grid(
                "",
                "held-out PSNR (dB)",
                {
                    "`instant-ngp-fast`": "auto_{}_instant-ngp-fast_psnr",
                    "`instant-ngp-capture`": "auto_{}_instant-ngp-capture_psnr",
                    "`gaussian-splatting-fast`": "auto_{}_gaussian-splatting-fast_psnr",
                    "`dvgo-fast`": "auto_{}_dvgo-fast_psnr",
                    "`nerfacto-fast`": "auto_{}_nerfacto-fast_psnr",
                    "`auto` below the best of these": "auto_{}_gap_db",
                },
                {
                    "lego_200": "lego_200",
                    **{name: name for name in ("mouse", "fern", "scan65")},
                },
            ),
        ),
        "demos": (
            Grid(
                "",
                "metric",
                {
                    "Whole demo (s)": "demo_{}_seconds",
                    "Fitted scene: held-out PSNR (dB)": "demo_{}_scene_psnr",
                    "Flow: PSNR above the nearest training view (dB)": (
                        "flow_over_nearest_db_{}"
                    ),
                    "Pose, flow: rotation error, median (°)": "flow_rotation_deg_median_{}",
                    "Pose, refined: rotation error, median (°)": (
                        "flow_refined_rotation_deg_median_{}"
                    ),
                },
                {
                    **{name: name for name in ("fern", "mouse", "scan65")},
                    "toy truck": "truck",
                },
            ),
        ),
        "poses": (
            Grid(
                "",
                "metric",
                {
                    "Held-out photographs": "pose_views_{}",
                    "From the true pose: rotation error, median (°)": "pose_deg_median_{}",
                    "maximum (°)": "pose_deg_max_{}",
                    "share worse by more than 0.5°": "pose_worse_share_{}",
                    "From 2° and 2% away: rotation error, median (°)": (
                        "pose_from_2deg_deg_median_{}"
                    ),
                    "position error, median (% of the distance)": (
                        "pose_from_2deg_percent_median_{}"
                    ),
                    "share better than the start": "pose_from_2deg_better_share_{}",
                    "true / expected rotation error, median": "pose_error_ratio_median_{}",
                    "share within the expected error": "pose_within_expected_{}",
                    "share within twice that": "pose_within_twice_expected_{}",
                    "From 5° and 5% away: rotation error, median (°)": (
                        "pose_from_5deg_deg_median_{}"
                    ),
                    "position error from there, median (%)": (
                        "pose_from_5deg_percent_median_{}"
                    ),
                    "share better than that start": "pose_from_5deg_better_share_{}",
                    "Reported as something else: own photographs, share": (
                        "pose_own_reported_share_{}"
                    ),
                    "those of the other scenes, share": "pose_other_reported_share_{}",
                    "Time (s/photograph)": "pose_seconds_{}",
                },
                {name: name for name in ("mouse", "fern", "scan65")},
            ),
        ),
        "steps": (
            Grid(
                "",
                "step",
                {
                    "Photographs to a film, mouse: in all (s)": "photos_to_film_seconds{}",
                    "`unrender process` (s)": "photos_to_film_process_seconds{}",
                    "`unrender fit auto` (s)": "photos_to_film_fit_seconds{}",
                    "`unrender render` (s)": "photos_to_film_render_seconds{}",
                    "`unrender export`, mouse (s)": "export_seconds_mouse{}",
                    "Faces of that mesh": "export_faces_mouse{}",
                    "`unrender export`, bricks (s)": "export_seconds_bricks{}",
                    "Faces of that mesh of bricks": "export_faces_bricks{}",
                    "Faces outside the largest part, both": "export_stray_faces{}",
                    "100 views of 1920×1080 in memory (MB)": "memory_views_mb{}",
                    "The same of photographs with lens distortion (MB)": (
                        "memory_views_distorted_mb{}"
                    ),
                    "Fits to photographs of two sizes: mean PSNR (dB)": "mixed_sizes_psnr{}",
                    "Fits to the part that they share: mean PSNR (dB)": "common_size_psnr{}",
                    "Difference of these means (dB)": "mixed_sizes_db{}",
                    "Least difference, of three seeds (dB)": "mixed_sizes_db_least{}",
                    "Greatest difference (dB)": "mixed_sizes_db_greatest{}",
                },
                {"value": ""},
            ),
        ),
    },
    "main_job": {
        "table": (
            Grid(
                "",
                "metric",
                {
                    "Fitted scene: PSNR (dB)": "{}fit.psnr",
                    "Fitted scene: SSIM": "{}fit.ssim",
                    "Fitted scene: time to fit (s)": "{}fit.seconds",
                    "Flow: PSNR at 32×32, from the pose itself (dB)": "{}flow.psnr_mean_start",
                    "Flow: PSNR at 32×32, from the pose with noise (dB)": (
                        "{}flow.psnr_sampled_start"
                    ),
                    "Upper limit: PSNR of the scene at 32×32 (dB)": "{}flow.ceiling_psnr",
                    "Baseline: PSNR of the nearest training view (dB)": (
                        "{}details.nearest_view_psnr"
                    ),
                    "Flow: training time (s)": "{}flow.seconds",
                    "Flow: training views": "{}flow.train_views",
                    "Pose, flow: rotation error, median (°)": "{}pose.rotation_deg_median",
                    "Pose, flow: rotation error, mean (°)": "{}pose.rotation_deg_mean",
                    "Pose, flow in 20 steps: rotation error, median (°)": (
                        "{}details.inversion_20_steps_rotation_deg_median"
                    ),
                    "Pose, flow: position error, median (% of radius)": (
                        "{}pose.translation_percent_median"
                    ),
                    "Pose, flow: share of poses below 5°": "{}pose.under_5deg",
                    "Pose, refined: rotation error, median (°)": (
                        "{}pose.refined_rotation_deg_median"
                    ),
                    "Test views": "{}pose.num_views",
                    "Pose, flow: time (s/view)": "{}details.pose_seconds_per_view",
                    "Pose, refinement: time (s/view)": "{}details.refine_seconds_per_view",
                    "Total time (s)": "{}total_seconds",
                    "Peak memory (MB)": "{}peak_memory_mb",
                },
                {"lego_200": "", "bricks": "bricks.", "chair": "chair.", "hotdog": "hotdog."},
            ),
        )
    },
    "pose_flow": {
        "table": (
            Grid(
                "Images from poses (32×32, over white)",
                "model",
                {
                    "flow, 1 step": "{}_mean_start",
                    "flow, 4 steps": "{}_4_steps",
                    "flow, 50 steps": "{}_50_steps",
                    "flow, noise at the source": "{}_sampled_start",
                    "baseline: flow from Gaussian noise, conditioned on the pose": (
                        "control_gaussian_{}"
                    ),
                    "baseline: textbook flow matching (`sit-plain`)": "control_plain_{}",
                    "baseline: the same, noise at the source": "control_plain_{}_sampled_start",
                    "baseline: nearest training view": "nearest_view_{}",
                    "upper limit: renders of the scene": "scene_{}",
                },
                {"PSNR (dB)": "psnr", "SSIM": "ssim"},
            ),
            Grid(
                "Poses from images",
                "estimator",
                {
                    "flow": "{}",
                    "flow, one backward step only": "one_step_{}",
                    "flow, refined on the scene": "refined_{}",
                    "baseline: direct regressor": "control_regressor_{}",
                    "baseline: `sit-plain`, 50 steps": "control_plain_{}",
                    "baseline: `sit-plain`, 1 step": "control_plain_one_step_{}",
                    "baseline: nearest training view": "control_nearest_view_{}",
                    "baseline: random training pose": "control_random_{}",
                },
                POSE,
            ),
            Grid(
                "Time",
                "",
                {
                    "Pose by the flow (s/view)": "pose_seconds",
                    "Refinement of a pose on the scene (s/view)": "refine_seconds",
                    "Training steps in the given time": "train_steps",
                    "Training step (ms)": "train_step_ms",
                    "Plain implementation of the step (ms)": "plain_step_ms",
                    "Plain implementation, AdamW only (ms)": "plain_adamw_step_ms",
                    "Speed-up over the plain step (×)": "train_step_speedup",
                    "Speed-up over the plain AdamW step (×)": (
                        "train_step_speedup_over_plain_adamw"
                    ),
                    "Predicted rotation error, median (°)": "expected_rotation_deg_median",
                },
                {"value": ""},
            ),
        )
    },
    "fields": {
        "table": (
            Grid(
                "Image fields after 2,000 steps of 512 random pixels, MSE over three images",
                "field",
                {f"`{kind}`": f"image_{kind}_{{}}" for kind in FIELDS}
                | {"`encoding`": "image_mlp_encoding_{}"},
                {
                    "MSE, mean": "loss",
                    "lowest": "loss_least",
                    "highest": "loss_most",
                    "parameters": "parameters",
                },
            ),
            Grid(
                "Best image field in one minute",
                "image",
                {"astronaut, 512×512": "image_best_{}"},
                {"PSNR (dB)": "psnr_60s", "steps": "steps", "CPU cores in use": "cores"},
            ),
            Grid(
                "Shapes",
                "target and method",
                {
                    "bunny, `sdf`": "sdf_{}",
                    "bunny, `occupancy`": "occupancy_{}",
                    "cow, `sdf`": "sdf_cow_{}",
                    "10,000 points with normals, `sdf`": "sdf_oriented_{}",
                    "10,000 points without normals, `sdf`": "sdf_unoriented_{}",
                },
                SHAPE,
            ),
            Grid(
                "Kinds of fields, fitted to the cow in the same time",
                "field",
                {
                    f"`{kind}`": f"sdf_kind_{kind.replace('-', '_')}_{{}}"
                    for kind in SPACE_FIELDS
                },
                SHAPE,
            ),
            Grid(
                "Extraction of the surface",
                "cells per side",
                {f"{cells}": f"sdf_extract_{{}}_{cells}" for cells in (128, 256, 512)},
                {"additional memory (MB)": "mb", "time (s)": "seconds", "faces": "faces"},
            ),
        )
    },
    "light": {
        "table": (
            Grid(
                "",
                "scene",
                {
                    "closed box": "path_{}_box",
                    "balls": "path_{}_balls",
                    "textured": "path_{}_textured",
                },
                {
                    "time (s)": "seconds",
                    "time / Mitsuba's (×)": "time_over_mitsuba",
                    "error at equal time / Mitsuba's (×)": "error_at_equal_time",
                },
            ),
        )
    },
    "surfaces": {
        "table": (
            Grid(
                "DTU scan 65, held-out images",
                "method",
                {
                    "`neus-fast`, 20 minutes": "neus_{}",
                    "`volsdf-fast`, 10 minutes": "volsdf_{}",
                },
                SURFACE,
            ),
            Grid(
                "`neus-fast` on the built-in scenes, 3 minutes: distance to the true surface",
                "scene",
                {s: f"synthetic_{{}}_{s}" for s in ("bricks", "chair", "hotdog")},
                {
                    "Chamfer (% of diagonal)": "chamfer_percent",
                    "accuracy (%)": "accuracy_percent",
                    "completeness (%)": "completeness_percent",
                    "Chamfer with invisible parts (%)": "chamfer_percent_unseen_too",
                },
            ),
            Grid(
                "`neus-fast` on the built-in scenes: held-out views",
                "scene",
                {s: f"synthetic_{{}}_{s}" for s in ("bricks", "chair", "hotdog")},
                SURFACE,
            ),
            Grid(
                "Weights along a ray through a plane at distance 1",
                "density",
                {
                    "NeuS": "weights_{}_neus",
                    "VolSDF": "weights_{}_volsdf",
                    "logistic density": "weights_{}_logistic_density",
                },
                {"position of the maximum − 1": "off"},
            ),
            Grid(
                "Sphere tracing, 24 primitives at 256×256",
                "",
                {"CPU, 2 cores": "sphere_trace_{}"},
                {
                    "time (s)": "seconds",
                    "rays/s": "rays",
                    "share of the image that is covered": "covered",
                },
            ),
        )
    },
    "gradients": {
        "techniques": (
            Grid(
                "",
                "technique",
                {
                    "no edges": "gradient_no_edges_{}",
                    "edges antialiased": "gradient_edges_antialiased_{}",
                    "antialiased, 2×2 rays": "gradient_antialiased_2x2_rays_{}",
                    "soft, blur 0.3 px": "gradient_soft_blur_0p3_px_{}",
                    "soft, blur 1 px": "gradient_soft_blur_1_px_{}",
                    "soft, blur 2 px": "gradient_soft_blur_2_px_{}",
                    "volume, β 0.03": "gradient_volume_beta_0p03_{}",
                    "volume, β 0.01": "gradient_volume_beta_0p01_{}",
                    "volume, β 0.003": "gradient_volume_beta_0p003_{}",
                    "Mitsuba, projective": "gradient_mitsuba_projective_{}",
                },
                {
                    "position": "position_error",
                    "rotation": "rotation_error",
                    "color": "color_error",
                    "light": "light_error",
                    "position, 8×8 blocks": "position_block_error",
                    "cost (×)": "cost",
                },
            ),
        ),
        "table": (
            Grid(
                "Pose from a silhouette",
                "chair",
                {f"{k + 1}": f"inverse_pose_silhouette_{k}_{{}}" for k in range(3)},
                {
                    "rotation error (°)": "rotation_error",
                    "camera position error (scene units)": "camera_position_error",
                    "misfit": "misfit",
                    "misfit of the second-best pose": "misfit_of_the_second_best_pose",
                },
            ),
            Grid(
                "Light from shading",
                "input",
                {
                    "clean image": "inverse_light_clean_{}",
                    "image with noise of 0.02": "inverse_light_with_noise_of_0p02_{}",
                },
                {
                    "direction error (°)": "direction_error",
                    "color error (%)": "color_error",
                    "ambient error (%)": "ambient_error",
                },
            ),
            Grid(
                "Environment from shading, six lights",
                "",
                {
                    "same view": "inverse_light_six_lights_same_view_{}",
                    "another view": "inverse_light_six_lights_another_view_{}",
                },
                {"PSNR (dB)": "psnr"},
            ),
            Grid(
                "Texture from images",
                "input",
                {"12 images": "inverse_texture_12_images_{}"},
                {
                    "visible texels (%)": "visible_texels",
                    "PSNR of visible texels (dB)": "psnr_of_visible_texels",
                    "PSNR of held-out views (dB)": "psnr_of_held_out_views",
                    "PSNR of a gray texture (dB)": "psnr_of_a_gray_texture",
                },
            ),
            Grid(
                "Shape from normals",
                "input",
                {
                    "depth from one normal map": "inverse_shape_depth_one_view_{}",
                    "12 normal maps": "inverse_shape_12_views_{}",
                    "start: a sphere": "inverse_shape_start_a_sphere_{}",
                },
                {
                    "RMS error (% of the size)": "rms_error",
                    "Chamfer (% of the size)": "chamfer",
                    "normal consistency": "normal_consistency",
                },
            ),
        ),
    },
    "shapes": {
        "table": (
            Grid(
                "Rasterizer, the cow at 256×256, forward and backward",
                "",
                {"nearest face": "raster_{}", "soft mask": "raster_soft_{}"},
                {"time (s)": "seconds", "speed-up over brute force (×)": "speedup"},
            ),
            Grid(
                "Gradients of the rasterizer, relative error",
                "rays per pixel",
                {"1": "raster_gradient_error{}", "2×2": "raster_gradient_error_2x2{}"},
                {
                    "vs. finite differences of the same rendering": "",
                    "vs. ground truth (64 rays per pixel)": "_of_truth",
                },
            ),
            Grid(
                "Chamfer distance of 10,000 and 10,000 points, forward and backward",
                "",
                {"CPU, 2 cores": "chamfer_{}"},
                {
                    "time (s)": "seconds",
                    "speed-up over brute force (×)": "speedup",
                    "memory, 25,000 points (MB)": "mb_25000",
                    "memory, 100,000 points (MB)": "mb_100000",
                },
            ),
            Grid(
                "Fitted shapes",
                "representation and target",
                {
                    f"{kind}, {shape}": f"fit_{kind}_{{}}_{shape}"
                    for kind in ("voxels", "points", "mesh")
                    for shape in ("cow", "bunny")
                },
                FIT,
            ),
            Grid(
                "Mesh from images, DTU scan 65, held-out views",
                "method",
                {"`mesh-from-views`": "image_mesh_{}"},
                {
                    "silhouette IoU, mean": "mask_iou",
                    "lowest": "mask_iou_least",
                    "PSNR (dB)": "psnr",
                    "steps": "steps",
                },
            ),
            Grid(
                "Predictions from one image, held-out chairs",
                "representation",
                {kind: f"predict_{kind}_{{}}" for kind in ("points", "mesh", "voxels")},
                {
                    **{f"F1 at {t:g}": f"f1_at_{t:g}" for t in (0.01, 0.02, 0.03, 0.04, 0.05)},
                    "Chamfer L1 (of the longest side)": "chamfer_l1",
                    "voxel IoU": "voxel_iou",
                    "normal consistency": "normal_consistency",
                    "steps": "steps",
                    "training (min)": "minutes",
                },
            ),
        )
    },
    "speed": {
        "figures": (
            Grid(
                "",
                "metric",
                {
                    "Training of `instant-ngp-fast` (rays/s)": "train_rays_per_second",
                    "Training, speed-up over the torch references (×)": "train_speedup",
                    "Training, slower of two runs / faster (×)": "train_noise",
                    "Rendering (rays/s)": "render_rays_per_second",
                    "Cold start of `unrender fit`, to the first step (s)": "cold_start",
                    "Peak memory of that process (MB)": "peak_memory_mb",
                    "Hash grid, speed-up over the reference (×)": "hash_grid_speedup",
                    "Hash grid, share of the machine's limit": "hash_grid_roofline",
                    "Networks (MLP), share of the machine's limit": "mlp_roofline",
                    "Compositing, speed-up over the reference (×)": "composite_speedup",
                    "PSNR on lego_200 after 60 s of training (dB)": "psnr_at_60s",
                    "PSNR on lego_200 after 180 s of training (dB)": "psnr_at_180s",
                    "Training time to 30 dB on lego_200 (s)": "seconds_to_30db",
                },
                {"value": ""},
            ),
        )
    },
}
"""Tables between the marks of each page of the docs, by page and name of the marks."""

RESULTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("novel_views", "model_card"), ("novel_views",)),
    **{name: (name,) for name in ("radiance_fields", "main_job", "pose_flow", "shapes")},
    "captures": ("captures", "real_captures"),
    **dict.fromkeys(("fields", "light", "surfaces", "gradients"), ("fields_surfaces",)),
    "speed": ("speed", "time_to_quality"),
    "light_fields": ("light_fields",),
    "moving_scenes": ("moving",),
}
"""Results files of each page."""

ALIASES = {"path_time_over_mitsuba_box": "path_time_over_mitsuba"}
"""Keys of cells that differ from the key of the figure in the results."""

HIDDEN = {
    *("demo_reports", "auto_gap_db", "pose_deg_median", "pose_worse_share"),
    *("peak_memory_gb", "mip_nerf_multiscale_gain", "largest_memory"),
    *("psnr_1_steps", "synthetic_chamfer_percent", "dnerf_lego_val_psnr"),
    *("fit_voxels_iou", "fit_points_f1", "fit_mesh_f1"),
    *("predict_points_f1", "predict_mesh_f1", "predict_voxels_f1"),
}
"""Figures that are in no table, since they repeat others: extremes, and F1 at its threshold."""
