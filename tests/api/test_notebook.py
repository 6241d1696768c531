"""What notebooks show of data."""

import unrender as ur


def test_a_dataset_shows_training_and_held_out_cameras_of_any_number() -> None:
    cameras = ur.turntable(70).cameras(ur.Mesh.torus())
    rendering = ur.render(ur.Mesh.torus(), cameras, size=16, progress=False)
    views = ur.Views(cameras.resized(16, 16), rendering.rgba)
    for held_out in (3, 50, 70):
        data = ur.Dataset("torus", views, views[:held_out])
        html = data._repr_html_()
        assert html.count('<path class="set0"') == html.count('<path class="set1"') == 2
        assert "data:image/png" in html
    alone = ur.Dataset.of_views(views)
    assert 'class="set1"' not in alone._repr_html_()
